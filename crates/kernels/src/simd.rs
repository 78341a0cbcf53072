//! The few vector operations that the kernels need, on the unit that the processor turns out to
//! have at run time.
//!
//! A [`Simd`] value is a proof that the processor has the instructions: only [`dispatch`] makes
//! one, after asking. All `unsafe` code of this crate is in this file, but for the allocator's
//! settings in `memory`.

/// The operations of a vector unit.
pub(crate) trait Simd: Copy {
    /// A register of `LANES` values.
    type V: Copy;
    /// Number of values in a register.
    const LANES: usize;
    /// True for 32 registers, false for 16.
    const MANY_REGISTERS: bool;
    /// True if a product and a sum are one instruction.
    const FUSED: bool;
    /// Returns a register of equal values.
    fn splat(self, value: f32) -> Self::V;
    /// Returns the first `LANES` values of a slice; panics if there are fewer.
    fn load(self, from: &[f32]) -> Self::V;
    /// Writes the first `LANES` values of a slice; panics if there are fewer.
    fn store(self, value: Self::V, to: &mut [f32]);
    /// Returns a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Returns a * b + c.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Returns the sum of a register's values, in a fixed order.
    fn sum(self, value: Self::V) -> f32;
    /// Transposes an 8 by 8 block, whose rows are `from_row` and `to_row` values apart. Panics if a
    /// slice does not hold its block.
    fn transpose8(self, from: &[f32], from_row: usize, to: &mut [f32], to_row: usize);
    /// Prefetches the cache line `ahead` values after a slice's start, whether or not it is in the
    /// slice.
    #[inline(always)]
    fn prefetch(self, _from: &[f32], _ahead: usize) {}
}

/// Work that runs on any vector unit. Implementations mark `run` `#[inline(always)]`, so that it is
/// compiled with that unit's instructions.
pub(crate) trait Kernel {
    /// Does the work on the vector unit `simd`.
    fn run<S: Simd>(self, simd: S);
}

/// Runs a kernel on the widest vector unit of this processor.
pub(crate) fn dispatch<K: Kernel>(kernel: K) {
    match chosen() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `chosen` has just asked the processor.
        #[allow(unsafe_code)]
        Unit::Avx512 => unsafe { x86::run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `chosen` has just asked the processor.
        #[allow(unsafe_code)]
        Unit::Avx2 => unsafe { x86::run_avx2(kernel) },
        #[cfg(target_arch = "aarch64")]
        Unit::Neon => kernel.run(neon::Neon),
        Unit::Portable => kernel.run(Portable),
    }
}

/// The vector units that a kernel can run on.
enum Unit {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Portable,
}

/// Returns the widest unit that the processor has and that may be used.
fn chosen() -> Unit {
    #[cfg(target_arch = "x86_64")]
    {
        if widest() >= 16 && has_avx512() {
            return Unit::Avx512;
        }
        if widest() >= 8 && is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            return Unit::Avx2;
        }
    }

    // Every processor of this architecture has it.
    #[cfg(target_arch = "aarch64")]
    if widest() >= 8 {
        return Unit::Neon;
    }

    Unit::Portable
}

/// The environment variable that names the widest unit to use, for measuring a processor's narrower
/// units. Without it the widest available unit is used.
pub const VARIABLE: &str = "PHYS_INSTRUCT_SIMD";

/// The values that the variable may have, with the number of lanes that each allows.
const UNITS: [(&str, usize); 4] = [("avx512", 16), ("avx2", 8), ("neon", 8), ("portable", 0)];

/// Returns the number of lanes of the widest unit to use; 0 asks for the portable one.
#[cfg(not(test))]
fn widest() -> usize {
    static LANES: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *LANES.get_or_init(|| asked().ok().flatten().unwrap_or(16))
}

/// Returns the number of lanes that [`VARIABLE`] asks for, or `None` if it is not set.
///
/// # Errors
/// Fails on a name that is no unit's; the message lists the known ones.
pub fn asked() -> Result<Option<usize>, String> {
    let Ok(name) = std::env::var(VARIABLE) else { return Ok(None) };
    match UNITS.iter().find(|(known, _)| *known == name) {
        Some((_, lanes)) => Ok(Some(*lanes)),
        None => {
            let known = UNITS.map(|(known, _)| known).join(", ");
            Err(format!("{VARIABLE}={name}: one of {known} expected"))
        }
    }
}

/// Returns the name of the unit that the kernels run on.
pub fn unit() -> &'static str {
    match chosen() {
        #[cfg(target_arch = "x86_64")]
        Unit::Avx512 => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Unit::Avx2 => "AVX2 and FMA",
        #[cfg(target_arch = "aarch64")]
        Unit::Neon => "NEON",
        Unit::Portable if cfg!(target_arch = "x86_64") => "SSE2",
        Unit::Portable => "portable",
    }
}

#[cfg(test)]
fn widest() -> usize {
    WIDEST.get()
}

#[cfg(test)]
thread_local! {
    /// Lanes of the widest unit, which tests set in the threads of their own pools.
    pub(crate) static WIDEST: std::cell::Cell<usize> = const { std::cell::Cell::new(16) };
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
}

/// The portable unit: eight values, which the compiler maps to what the target always has.
#[derive(Clone, Copy)]
struct Portable;

impl Simd for Portable {
    type V = [f32; 8];
    const LANES: usize = 8;
    const MANY_REGISTERS: bool = false;
    const FUSED: bool = false;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; 8]
    }

    #[inline(always)]
    fn load(self, from: &[f32]) -> Self::V {
        let mut out = [0.0; 8];
        out.copy_from_slice(&from[..8]);
        out
    }

    #[inline(always)]
    fn store(self, value: Self::V, to: &mut [f32]) {
        to[..8].copy_from_slice(&value);
    }

    #[inline(always)]
    fn add(self, mut a: Self::V, b: Self::V) -> Self::V {
        for i in 0..8 {
            a[i] += b[i];
        }
        a
    }

    #[inline(always)]
    fn sub(self, mut a: Self::V, b: Self::V) -> Self::V {
        for i in 0..8 {
            a[i] -= b[i];
        }
        a
    }

    #[inline(always)]
    fn mul(self, mut a: Self::V, b: Self::V) -> Self::V {
        for i in 0..8 {
            a[i] *= b[i];
        }
        a
    }

    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, mut c: Self::V) -> Self::V {
        for i in 0..8 {
            c[i] += a[i] * b[i];
        }
        c
    }

    #[inline(always)]
    fn sum(self, value: Self::V) -> f32 {
        value.iter().sum()
    }

    #[inline(always)]
    fn transpose8(self, from: &[f32], from_row: usize, to: &mut [f32], to_row: usize) {
        for i in 0..8 {
            for j in 0..8 {
                to[j * to_row + i] = from[i * from_row + j];
            }
        }
    }
}

/// Two registers of four values as one: sixteen of these, as AVX2 has of eight values, suit the
/// kernels.
#[cfg(target_arch = "aarch64")]
#[allow(unsafe_code)]
mod neon {
    use std::arch::aarch64::*;

    use super::Simd;

    #[derive(Clone, Copy)]
    pub(super) struct Neon;

    /// # Safety
    /// `from` must be valid for four values at each of four rows.
    #[inline(always)]
    unsafe fn transposed4(from: *const f32, from_row: usize) -> [float32x4_t; 4] {
        // SAFETY: every processor of this architecture has the unit; the caller's promise.
        unsafe {
            let r = [0, 1, 2, 3].map(|i| vld1q_f32(from.add(i * from_row)));
            let pairs =
                |a, b| [vtrn1q_f32(a, b), vtrn2q_f32(a, b)].map(|v| vreinterpretq_f64_f32(v));
            let ([a, b], [c, d]) = (pairs(r[0], r[1]), pairs(r[2], r[3]));
            [vtrn1q_f64(a, c), vtrn1q_f64(b, d), vtrn2q_f64(a, c), vtrn2q_f64(b, d)]
                .map(|v| vreinterpretq_f32_f64(v))
        }
    }

    impl Simd for Neon {
        type V = [float32x4_t; 2];
        const LANES: usize = 8;
        const MANY_REGISTERS: bool = false;
        const FUSED: bool = true;

        #[inline(always)]
        fn splat(self, value: f32) -> Self::V {
            // SAFETY: every processor of this architecture has the unit.
            unsafe { [vdupq_n_f32(value); 2] }
        }

        #[inline(always)]
        fn load(self, from: &[f32]) -> Self::V {
            let from = from[..8].as_ptr();
            // SAFETY: as in `splat`; the slice has the length read.
            unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
        }

        #[inline(always)]
        fn store(self, [low, high]: Self::V, to: &mut [f32]) {
            let to = to[..8].as_mut_ptr();
            // SAFETY: as in `splat`; the slice has the length written.
            unsafe {
                vst1q_f32(to, low);
                vst1q_f32(to.add(4), high);
            }
        }

        #[inline(always)]
        fn add(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])] }
        }

        #[inline(always)]
        fn sub(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1])] }
        }

        #[inline(always)]
        fn mul(self, a: Self::V, b: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])] }
        }

        #[inline(always)]
        fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
            // SAFETY: as in `splat`.
            unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
        }

        #[inline(always)]
        fn sum(self, [low, high]: Self::V) -> f32 {
            // SAFETY: as in `splat`.
            unsafe { vaddvq_f32(vaddq_f32(low, high)) }
        }

        #[inline(always)]
        fn transpose8(self, from: &[f32], from_row: usize, to: &mut [f32], to_row: usize) {
            let from = &from[..7 * from_row + 8];
            let to = &mut to[..7 * to_row + 8];
            for (i, j) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
                // SAFETY: as in `splat`; the slices hold eight rows of eight values.
                unsafe {
                    let block = transposed4(from.as_ptr().add(i * from_row + j), from_row);
                    for (k, row) in block.into_iter().enumerate() {
                        vst1q_f32(to.as_mut_ptr().add((j + k) * to_row + i), row);
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Kernel, Simd};

    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    pub(super) fn run_avx512<K: Kernel>(kernel: K) {
        kernel.run(Avx512(()));
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn run_avx2<K: Kernel>(kernel: K) {
        kernel.run(Avx2(()));
    }

    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn sum_avx2(value: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps::<1>(value));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
    }

    /// # Safety
    /// `from` and `to` must be valid for eight values at each of eight rows.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn transpose8_avx2(from: *const f32, from_row: usize, to: *mut f32, to_row: usize) {
        let mut r = [_mm256_setzero_ps(); 8];
        for (i, r) in r.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *r = unsafe { _mm256_loadu_ps(from.add(i * from_row)) };
        }

        let mut t = r;
        // Pairs of rows, then quadruples, then the halves of all eight.
        for i in 0..4 {
            t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
            t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
        }

        for half in 0..2 {
            let (a, b) = (4 * half, 4 * half + 2);
            r[a] = _mm256_shuffle_ps::<0x44>(t[a], t[b]);
            r[a + 1] = _mm256_shuffle_ps::<0xEE>(t[a], t[b]);
            r[a + 2] = _mm256_shuffle_ps::<0x44>(t[a + 1], t[b + 1]);
            r[a + 3] = _mm256_shuffle_ps::<0xEE>(t[a + 1], t[b + 1]);
        }

        for i in 0..4 {
            t[i] = _mm256_permute2f128_ps::<0x20>(r[i], r[i + 4]);
            t[i + 4] = _mm256_permute2f128_ps::<0x31>(r[i], r[i + 4]);
        }

        for (i, t) in t.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm256_storeu_ps(to.add(i * to_row), t) };
        }
    }

    macro_rules! unit {
        ($name:ident, $v:ty, $lanes:literal, $many:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $sum:ident) => {
            #[derive(Clone, Copy)]
            pub(super) struct $name(());

            impl Simd for $name {
                type V = $v;
                const LANES: usize = $lanes;
                const MANY_REGISTERS: bool = $many;
                const FUSED: bool = true;

                #[inline(always)]
                fn splat(self, value: f32) -> $v {
                    // SAFETY: a value of this type exists only where the processor has the unit.
                    unsafe { $splat(value) }
                }

                #[inline(always)]
                fn load(self, from: &[f32]) -> $v {
                    let from = &from[..$lanes];
                    // SAFETY: as in `splat`; the slice has the length read.
                    unsafe { $load(from.as_ptr()) }
                }

                #[inline(always)]
                fn store(self, value: $v, to: &mut [f32]) {
                    let to = &mut to[..$lanes];
                    // SAFETY: as in `splat`; the slice has the length written.
                    unsafe { $store(to.as_mut_ptr(), value) }
                }

                #[inline(always)]
                fn add(self, a: $v, b: $v) -> $v {
                    // SAFETY: as in `splat`.
                    unsafe { $add(a, b) }
                }

                #[inline(always)]
                fn sub(self, a: $v, b: $v) -> $v {
                    // SAFETY: as in `splat`.
                    unsafe { $sub(a, b) }
                }

                #[inline(always)]
                fn mul(self, a: $v, b: $v) -> $v {
                    // SAFETY: as in `splat`.
                    unsafe { $mul(a, b) }
                }

                #[inline(always)]
                fn mul_add(self, a: $v, b: $v, c: $v) -> $v {
                    // SAFETY: as in `splat`.
                    unsafe { $fma(a, b, c) }
                }

                #[inline(always)]
                fn sum(self, value: $v) -> f32 {
                    // SAFETY: as in `splat`.
                    unsafe { $sum(value) }
                }

                #[inline(always)]
                fn transpose8(self, from: &[f32], from_row: usize, to: &mut [f32], to_row: usize) {
                    let from = &from[..7 * from_row + 8];
                    let to = &mut to[..7 * to_row + 8];
                    // SAFETY: both units have AVX2, as in `splat`; the slices hold the blocks.
                    unsafe { transpose8_avx2(from.as_ptr(), from_row, to.as_mut_ptr(), to_row) }
                }

                #[inline(always)]
                fn prefetch(self, from: &[f32], ahead: usize) {
                    let line = from.as_ptr().wrapping_add(ahead).cast();
                    // SAFETY: every processor of this architecture has the instruction, and nothing
                    // is read by it, whatever the address.
                    unsafe { _mm_prefetch::<_MM_HINT_T0>(line) }
                }
            }
        };
    }

    unit!(
        Avx512,
        __m512,
        16,
        true,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_add_ps,
        _mm512_sub_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        _mm512_reduce_add_ps
    );
    unit!(
        Avx2,
        __m256,
        8,
        false,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_add_ps,
        _mm256_sub_ps,
        _mm256_mul_ps,
        _mm256_fmadd_ps,
        sum_avx2
    );
}
