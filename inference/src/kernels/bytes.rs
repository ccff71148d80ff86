//! How x86 multiplies bytes: with AVX2 in three steps, with AVX-512 VNNI in one.
//!
//! The sums are whole numbers and never too large, so both give the same.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use std::arch::x86_64::{__m256, __m256i, _mm256_dpbusd_epi32};
use std::hint::black_box;

use pulp::cast;
use pulp::x86::V3;

use super::machine::{Block4, Block8, Columns, HALF_SCALE, LANES};

/// The products of [`super::machine::Machine`], and how it reads halves.
pub(super) trait Bytes: Copy + Send + Sync {
    const REGISTERS: usize;

    fn products8<const T: usize, const N: usize>(
        self,
        weights: &Block8,
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m256i; T]; N];

    fn products4<const T: usize, const N: usize>(
        self,
        weights: &Block4,
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m256i; T]; N];

    fn halves(self, x: &[u16; LANES]) -> __m256;
}

/// AVX2: products of bytes are added in pairs, the pairs in pairs.
#[derive(Clone, Copy)]
pub(super) struct Pairs(pub(super) V3);

impl Bytes for Pairs {
    const REGISTERS: usize = 16;

    #[inline(always)]
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &Block8,
        columns: [&[Columns<T>; 8]; N],
        _: [&[i32; T]; N],
    ) -> [[__m256i; T]; N] {
        let V3 { avx, avx2, .. } = self.0;
        let ones = avx._mm256_set1_epi16(1);
        let mut sums = [[avx._mm256_setzero_si256(); T]; N];
        for index in 0..weights.len() {
            // The instruction multiplies bytes without a sign by bytes with one, so the sign of the
            // weight moves over to the column. 128 * 127 twice is just below what 16 bits hold.
            let line: __m256i = cast(weights[index].0);
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
        weights: &Block4,
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m256i; T]; N] {
        let V3 { avx, avx2, .. } = self.0;
        let mask = avx._mm256_set1_epi8(15);
        let mut sums = [[avx._mm256_setzero_si256(); T]; N];
        for index in 0..weights.len() {
            let line: __m256i = cast(weights[index].0);
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
                sums[tile][token] = avx2._mm256_sub_epi32(sum, offset);
            }
        }
        sums
    }

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
    /// A processor with AVX-512 VNNI for vectors of 256 bits.
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
    /// Adds the products of bytes without a sign and bytes with one, four and four.
    #[inline(always)]
    #[expect(clippy::unused_self, reason = "it proves what the processor has")]
    fn dot(self, sums: __m256i, bytes: __m256i, columns: __m256i) -> __m256i {
        #[expect(unsafe_code, reason = "there is no safe form of this instruction")]
        // SAFETY: it needs AVX-512 VL and VNNI, and a `Vnni` is only made where both are there.
        unsafe {
            _mm256_dpbusd_epi32(sums, bytes, columns)
        }
    }
}

impl Bytes for Vnni {
    const REGISTERS: usize = 32;

    #[inline(always)]
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &Block8,
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m256i; T]; N] {
        let Self { avx, avx2, .. } = self;
        let sign = avx._mm256_set1_epi8(i8::MIN);
        let mut sums = [[avx._mm256_setzero_si256(); T]; N];
        for index in 0..weights.len() {
            // Turning the upper bit makes weights 128 larger, and none of them has a sign.
            let line: __m256i = cast(weights[index].0);
            let line = avx2._mm256_xor_si256(line, sign);
            for tile in 0..N {
                for token in 0..T {
                    let column = i32::from_le_bytes(columns[tile][index][token]);
                    let column = avx._mm256_set1_epi32(column);
                    sums[tile][token] = self.dot(sums[tile][token], line, column);
                }
            }
        }
        for tile in 0..N {
            for token in 0..T {
                let offset = avx._mm256_set1_epi32(offsets[tile][token]);
                sums[tile][token] = avx2._mm256_sub_epi32(sums[tile][token], offset);
            }
        }
        sums
    }

    #[inline(always)]
    fn products4<const T: usize, const N: usize>(
        self,
        weights: &Block4,
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[__m256i; T]; N] {
        let Self { avx, avx2, .. } = self;
        let mask = avx._mm256_set1_epi8(15);
        let mut sums = [[avx._mm256_setzero_si256(); T]; N];
        // The compiler is not told how often: unrolled, it would go token by token, in chains of sums of
        // which each waits for the one before (a tenth to a quarter slower).
        let lines = black_box(weights.len()).min(weights.len());
        for index in 0..lines {
            let line: __m256i = cast(weights[index].0);
            let low = avx2._mm256_and_si256(line, mask);
            let high = avx2._mm256_srli_epi16::<4>(line);
            let high = avx2._mm256_and_si256(high, mask);
            for tile in 0..N {
                for token in 0..T {
                    let column = i32::from_le_bytes(columns[tile][index][token]);
                    let column = avx._mm256_set1_epi32(column);
                    let sum = self.dot(sums[tile][token], low, column);
                    let column = i32::from_le_bytes(columns[tile][index + 4][token]);
                    let column = avx._mm256_set1_epi32(column);
                    sums[tile][token] = self.dot(sum, high, column);
                }
            }
        }
        for tile in 0..N {
            for token in 0..T {
                let offset = avx._mm256_set1_epi32(offsets[tile][token]);
                sums[tile][token] = avx2._mm256_sub_epi32(sums[tile][token], offset);
            }
        }
        sums
    }
    #[inline(always)]
    fn halves(self, x: &[u16; LANES]) -> __m256 {
        const ALL: u8 = 0xff;
        self.avx512f._mm256_maskz_cvtph_ps(ALL, cast(*x))
    }
}
