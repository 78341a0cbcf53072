//! LZF, the compression of h5py's own (Lehmann, `liblzf`): runs of literal bytes, and copies of
//! bytes unpacked before. One control byte begins each piece:
//!
//! - below 32: so many bytes and one more follow as they are;
//! - else: its upper three bits are a length, to which the next byte is added if it is 7. Its lower
//!   five bits and one more byte are a distance. Length + 2 bytes are copied from distance + 1
//!   bytes back.

/// Unpacks to at most `most` bytes.
///
/// # Errors
/// Fails for a stream that ends early, reaches back before its beginning, or grows beyond `most`.
pub(crate) fn unpack(packed: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        rest = after;
        if control < 32 {
            let (literal, after) =
                rest.split_at_checked(control + 1).ok_or("LZF: the stream ends early")?;
            out.extend_from_slice(literal);
            rest = after;
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += usize::from(next(&mut rest)?);
            }
            let distance = ((control & 31) << 8) + usize::from(next(&mut rest)?) + 1;
            let start = out.len().checked_sub(distance).ok_or("LZF: before the beginning")?;
            // The copy may overlap its own end, hence byte by byte.
            for i in start..start + length + 2 {
                out.push(out[i]);
            }
        }

        if out.len() > most {
            return Err(format!("LZF: more than {most} bytes"));
        }
    }
    Ok(out)
}

fn next(rest: &mut &[u8]) -> Result<u8, String> {
    let (&byte, after) = rest.split_first().ok_or("LZF: the stream ends early")?;
    *rest = after;
    Ok(byte)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn literals_and_copies_are_unpacked() {
        assert_eq!(unpack(&[2, b'a', b'b', b'c'], 9).unwrap(), b"abc");
        // Length 1 + 2 from one byte back: the copy overlaps itself.
        assert_eq!(unpack(&[0, b'a', 1 << 5, 0], 9).unwrap(), b"aaaa");
        // A long copy: 7 + 3 + 2 bytes from two back.
        assert_eq!(unpack(&[1, b'a', b'b', 7 << 5, 3, 1], 20).unwrap(), b"abababababababab"[..14]);
    }

    #[test]
    fn damage_is_an_error() {
        assert!(unpack(&[2, b'a'], 9).unwrap_err().contains("ends early"));
        assert!(unpack(&[0, b'a', 1 << 5], 9).unwrap_err().contains("ends early"));
        assert!(unpack(&[0, b'a', 1 << 5, 1], 9).unwrap_err().contains("beginning"));
        assert!(unpack(&[0, b'a', 7 << 5, 200, 0], 9).unwrap_err().contains("more than 9"));
    }
}
