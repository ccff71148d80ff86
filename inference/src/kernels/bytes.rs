//! How x86 multiplies bytes: with AVX2 in three steps, with AVX-512 VNNI in one.
//!
//! The sums are whole numbers and never too large, so both give the same.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]
#![expect(
    clippy::needless_range_loop,
    reason = "loops over a constant become registers, iterators often stay in memory"
)]

use std::arch::x86_64::{__m256, __m256i, __m512, __m512i, _mm512_dpbusd_epi32};
use std::hint::black_box;

use pulp::cast;
use pulp::x86::V3;

use super::machine::{Columns, HALF_SCALE, LANES, Line, ROWS, Rows, SIGN};

/// What differs between processors: how they multiply, how many registers they have and how they read
/// halves.
pub(super) trait Bytes: Rows + Send + Sync {
    const REGISTERS: usize;

    fn halves(self, x: &[u16; LANES]) -> __m256;
}

/// AVX2: products of bytes are added in pairs, the pairs in pairs.
#[derive(Clone, Copy)]
pub(super) struct Pairs(pub(super) V3);

/// Four columns of eight rows, of which a line has two.
#[inline(always)]
fn half_line(weights: &[Line], index: usize) -> __m256i {
    cast(weights[index / 2].0.as_chunks::<32>().0[index % 2])
}

impl Rows for Pairs {
    type Floats = __m256;
    type Whole = __m256i;
    const COUNT: usize = LANES;

    #[inline(always)]
    fn zero(self) -> __m256 {
        self.0.avx._mm256_setzero_ps()
    }

    #[inline(always)]
    fn scales(self, scales: &[u16; ROWS], part: usize) -> __m256 {
        self.halves(&scales.as_chunks().0[part])
    }

    #[inline(always)]
    fn add(self, sums: __m256, products: __m256i, scales: __m256, step: f32) -> __m256 {
        let V3 { avx, fma, .. } = self.0;
        let scales = avx._mm256_mul_ps(scales, avx._mm256_set1_ps(step));
        fma._mm256_fmadd_ps(avx._mm256_cvtepi32_ps(products), scales, sums)
    }

    #[inline(always)]
    fn eights(self, floats: __m256) -> impl AsRef<[[f32; LANES]]> {
        [cast::<_, [f32; LANES]>(floats)]
    }

    #[inline(always)]
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        _: [&[i32; T]; N],
    ) -> [[__m256i; T]; N] {
        let V3 { avx, avx2, .. } = self.0;
        let ones = avx._mm256_set1_epi16(1);
        let sign = avx._mm256_set1_epi8(SIGN.cast_signed());
        let mut sums = [[avx._mm256_setzero_si256(); T]; N];
        for index in 0..2 * weights.len() {
            // The instruction multiplies bytes without a sign by bytes with one, so the sign of the
            // weight moves over to the column. 128 * 127 twice is just below what 16 bits hold.
            let line = avx2._mm256_xor_si256(half_line(weights, index), sign);
            let sizes = avx2._mm256_abs_epi8(line);
            for tile in 0..N {
                for token in 0..T {
                    let column = i32::from_le_bytes(columns[tile][index][token]);
                    let column = avx._mm256_set1_epi32(column);
                    let column = avx2._mm256_sign_epi8(column, line);
                    let pairs = avx2._mm256_maddubs_epi16(sizes, column);
                    let fours = avx2._mm256_madd_epi16(pairs, ones);
                    sums[tile][token] = avx2._mm256_add_epi32(sums[tile][token], fours);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn products4<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m256i; T]; N] {
        let V3 { avx, avx2, .. } = self.0;
        let mask = avx._mm256_set1_epi8(15);
        let mut sums = [[avx._mm256_setzero_si256(); T]; N];
        for index in 0..4 {
            let line = half_line(weights, index);
            let low = avx2._mm256_and_si256(line, mask);
            let high = avx2._mm256_srli_epi16::<4>(line);
            let high = avx2._mm256_and_si256(high, mask);
            for tile in 0..N {
                for token in 0..T {
                    // A whole block stays within 16 bits: 16 pairs of at most 2 * 15 * 127 / 2 each.
                    let column = i32::from_le_bytes(columns[tile][index][token]);
                    let column = avx._mm256_set1_epi32(column);
                    let pairs = avx2._mm256_maddubs_epi16(low, column);
                    let sum = avx2._mm256_add_epi16(sums[tile][token], pairs);
                    let column = i32::from_le_bytes(columns[tile][index + 4][token]);
                    let column = avx._mm256_set1_epi32(column);
                    let pairs = avx2._mm256_maddubs_epi16(high, column);
                    sums[tile][token] = avx2._mm256_add_epi16(sum, pairs);
                }
            }
        }
        let ones = avx._mm256_set1_epi16(1);
        for tile in 0..N {
            for token in 0..T {
                let sum = avx2._mm256_madd_epi16(sums[tile][token], ones);
                let offset = avx._mm256_set1_epi32(offsets[tile][token]);
                sums[tile][token] = avx2._mm256_add_epi32(sum, offset);
            }
        }
        sums
    }
}

impl Bytes for Pairs {
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn halves(self, x: &[u16; LANES]) -> __m256 {
        // F16C has one instruction for it, but `V3` does not vouch for that feature.
        // Widening repeats the sign, so that after the shift it stands where a float has it, and in
        // three bits of the exponent, which are cleared; a product keeps the sign.
        let V3 { avx, avx2, .. } = self.0;
        let wide = avx2._mm256_cvtepi16_epi32(cast(*x));
        let mask = avx._mm256_set1_epi32(i32::from_ne_bytes(0x8fff_ffffu32.to_ne_bytes()));
        let number = avx2._mm256_and_si256(avx2._mm256_slli_epi32::<13>(wide), mask);
        avx._mm256_mul_ps(cast(number), avx._mm256_set1_ps(HALF_SCALE))
    }
}

pulp::simd_type! {
    /// A processor with AVX-512 VNNI.
    pub(super) struct Vnni {
        sse: "sse",
        sse2: "sse2",
        fxsr: "fxsr",
        sse3: "sse3",
        ssse3: "ssse3",
        sse4_1: "sse4.1",
        sse4_2: "sse4.2",
        popcnt: "popcnt",
        avx: "avx",
        avx2: "avx2",
        bmi1: "bmi1",
        bmi2: "bmi2",
        fma: "fma",
        lzcnt: "lzcnt",
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512cd: "avx512cd",
        avx512dq: "avx512dq",
        avx512vl: "avx512vl",
        avx512vnni: "avx512vnni",
    }
}

impl Vnni {
    /// Where sums begin.
    #[inline(always)]
    fn splat<const T: usize, const N: usize>(self, offsets: [&[i32; T]; N]) -> [[__m512i; T]; N] {
        let mut sums = [[self.avx512f._mm512_setzero_si512(); T]; N];
        for tile in 0..N {
            for token in 0..T {
                sums[tile][token] = self.avx512f._mm512_set1_epi32(offsets[tile][token]);
            }
        }
        sums
    }

    /// Adds the products of bytes without a sign and four columns, four and four.
    #[inline(always)]
    fn dot(self, sums: __m512i, bytes: __m512i, columns: [u8; 4]) -> __m512i {
        let columns = self.avx512f._mm512_set1_epi32(i32::from_le_bytes(columns));
        #[expect(unsafe_code, reason = "there is no safe form of this instruction")]
        // SAFETY: it needs AVX-512 F and VNNI, and a `Vnni` is only made where both are there.
        unsafe {
            _mm512_dpbusd_epi32(sums, bytes, columns)
        }
    }
}

impl Rows for Vnni {
    type Floats = __m512;
    type Whole = __m512i;
    const COUNT: usize = ROWS;

    #[inline(always)]
    fn zero(self) -> __m512 {
        self.avx512f._mm512_setzero_ps()
    }

    #[inline(always)]
    fn scales(self, scales: &[u16; ROWS], _: usize) -> __m512 {
        const ALL: u16 = 0xffff;
        self.avx512f._mm512_maskz_cvtph_ps(ALL, cast(*scales))
    }

    #[inline(always)]
    fn add(self, sums: __m512, products: __m512i, scales: __m512, step: f32) -> __m512 {
        let Self { avx512f, .. } = self;
        let scales = avx512f._mm512_mul_ps(scales, avx512f._mm512_set1_ps(step));
        avx512f._mm512_fmadd_ps(avx512f._mm512_cvtepi32_ps(products), scales, sums)
    }

    #[inline(always)]
    fn eights(self, floats: __m512) -> impl AsRef<[[f32; LANES]]> {
        cast::<_, [[f32; LANES]; 2]>(floats)
    }

    #[inline(always)]
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m512i; T]; N] {
        let mut sums = self.splat(offsets);
        for index in 0..8 {
            let line = cast(weights[index].0);
            for tile in 0..N {
                for token in 0..T {
                    let column = columns[tile][index][token];
                    sums[tile][token] = self.dot(sums[tile][token], line, column);
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn products4<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m512i; T]; N] {
        let Self {
            avx512f, avx512bw, ..
        } = self;
        let mask = avx512f._mm512_set1_epi8(15);
        let mut sums = self.splat(offsets);
        // The compiler is not told how often: unrolled, it would go token by token, in chains of sums of
        // which each waits for the one before (a tenth to a quarter slower).
        for index in 0..black_box(4).min(4) {
            let line = cast(weights[index].0);
            let low = avx512f._mm512_and_si512(line, mask);
            let high = avx512bw._mm512_srli_epi16::<4>(line);
            let high = avx512f._mm512_and_si512(high, mask);
            for tile in 0..N {
                for token in 0..T {
                    let sum = self.dot(sums[tile][token], low, columns[tile][index][token]);
                    sums[tile][token] = self.dot(sum, high, columns[tile][index + 4][token]);
                }
            }
        }
        sums
    }
}

impl Bytes for Vnni {
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn halves(self, x: &[u16; LANES]) -> __m256 {
        const ALL: u8 = 0xff;
        self.avx512f._mm256_maskz_cvtph_ps(ALL, cast(*x))
    }
}
