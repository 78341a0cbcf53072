//! Containers, taken apart and put together again with the right lengths and checksums.
//!
//! A mutation inside is then not refused by the first length or checksum. The code follows the
//! descriptions of the formats, independently of the readers.

use std::io::{Cursor, Read, Write};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The key of the document in the header of a model or checkpoint file.
const DOCUMENT: &str = "phys_instruct";

/// The beginning of the checksum's field in the document, up to its value.
const CHECKSUM: &str = "\"sha256\":\"";

/// A safetensors file: its header and the bytes after it.
#[derive(Clone)]
pub struct Weights {
    /// The JSON header without the document.
    pub header: Map<String, Value>,
    /// The document, which should be JSON.
    pub document: String,
    /// The values of all tensors.
    pub data: Vec<u8>,
}

impl Weights {
    /// Takes a file apart; `None` for anything else than such a file.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let len = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
        let header = bytes.get(8..len.checked_add(8)?)?;
        let mut header: Map<String, Value> = serde_json::from_slice(header).ok()?;
        let metadata = header.get_mut("__metadata__")?.as_object_mut()?;
        let document = metadata.remove(DOCUMENT)?.as_str()?.to_owned();
        Some(Self { header, document, data: bytes[8 + len..].to_vec() })
    }

    /// Returns the bytes of the file, with the document as it is.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut header = self.header.clone();
        let metadata = header.entry("__metadata__").or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert(DOCUMENT.into(), self.document.clone().into());
        }
        let mut text = Value::Object(header).to_string().into_bytes();
        text.resize(text.len().next_multiple_of(8), b' ');
        [&(text.len() as u64).to_le_bytes()[..], &text, &self.data].concat()
    }

    /// Returns the file with the right checksum in its document, if the document has a place for
    /// one.
    pub fn sealed(mut self) -> Self {
        let Some(at) = self.document.find(CHECKSUM).map(|at| at + CHECKSUM.len()) else {
            return self;
        };

        let len = self.document[at..].find('"').unwrap_or(0);
        self.document.replace_range(at..at + len, "");

        if let Some(sum) = self.checksum() {
            self.document.insert_str(at, &sum);
        }
        self
    }

    /// Returns the SHA-256 of the document and of the tensors in the order of their names. It is
    /// `None` for a tensor that is not described as it should be.
    fn checksum(&self) -> Option<String> {
        let mut sum = Sha256::new();
        let mut add = |part: &[u8]| {
            sum.update((part.len() as u64).to_le_bytes());
            sum.update(part);
        };

        add(self.document.as_bytes());

        let mut tensors: Vec<_> = self.header.iter().collect();
        tensors.retain(|(name, _)| *name != "__metadata__");
        tensors.sort_by_key(|(name, _)| *name);

        for (name, tensor) in tensors {
            let numbers = |field: &str| -> Option<Vec<u64>> {
                tensor[field].as_array()?.iter().map(Value::as_u64).collect()
            };
            let place = numbers("data_offsets")?;
            let [from, to] = place[..] else { return None };
            add(name.as_bytes());
            add(format!("{} {:?}", tensor["dtype"].as_str()?, numbers("shape")?).as_bytes());
            add(self.data.get(from as usize..to as usize)?);
        }

        Some(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Takes an `.npy` file apart into the bytes before its header's length, the header, and the data.
pub fn npy_parts(bytes: &[u8]) -> Option<([u8; 8], String, Vec<u8>)> {
    let start: [u8; 8] = bytes.get(..8)?.try_into().ok()?;
    // Version 1 has a length of 2 bytes, the later ones of 4.
    let wide = if start[6] == 1 { 2 } else { 4 };
    let mut len = [0; 4];
    len[..wide].copy_from_slice(bytes.get(8..8 + wide)?);
    let end = (8 + wide).checked_add(u32::from_le_bytes(len) as usize)?;
    let header = String::from_utf8(bytes.get(8 + wide..end)?.to_vec()).ok()?;
    Some((start, header, bytes[end..].to_vec()))
}

/// Puts an `.npy` file together, with the right length of its header.
pub fn npy_bytes((start, header, data): ([u8; 8], String, Vec<u8>)) -> Vec<u8> {
    let len = header.len() as u32;
    let len = len.to_le_bytes();
    let wide = if start[6] == 1 { 2 } else { 4 };
    [&start[..], &len[..wide], header.as_bytes(), &data].concat()
}

/// Returns the entries of a zip archive; `None` for anything else.
pub fn zip_entries(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    // Seeds are small: a larger archive is a mutation already and needs no second one.
    (0..archive.len().min(32))
        .map(|i| {
            let file = archive.by_index(i).ok()?;
            let (name, mut content) = (file.name().ok()?.to_string(), Vec::new());
            file.take(1 << 16).read_to_end(&mut content).ok()?;
            Some((name, content))
        })
        .collect()
}

/// Returns a zip archive with the right checksums.
pub fn zip_bytes(entries: &[(String, Vec<u8>)], deflate: bool) -> Option<Vec<u8>> {
    use zip::CompressionMethod::{Deflated, Stored};
    let method = if deflate { Deflated } else { Stored };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        archive.start_file(name.as_str(), options).ok()?;
        archive.write_all(content).ok()?;
    }
    Some(archive.finish().ok()?.into_inner())
}
