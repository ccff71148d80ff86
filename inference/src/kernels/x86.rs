//! Processors with AVX2, which is every x86 server and laptop of the last ten years.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use std::arch::x86_64::{__m256, __m256i};

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::machine::{BLOCK, Block4, Block8, Columns, HALF_SCALE, LANES, Machine, Work};

/// Work in the form that `pulp` compiles for a processor.
pub(super) struct Call<W> {
    pub(super) machine: V3,
    pub(super) work: W,
}

impl<W: Work> NullaryFnOnce for Call<W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.work.run(self.machine);
    }
}

impl Machine for V3 {
    type Floats = __m256;
    type Whole = __m256i;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        self.avx._mm256_set1_ps(x)
    }

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m256 {
        cast(*x)
    }

    #[inline(always)]
    fn lanes(self, x: __m256) -> [f32; LANES] {
        cast(x)
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        self.avx._mm256_add_ps(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        self.avx._mm256_sub_ps(a, b)
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        self.avx._mm256_mul_ps(a, b)
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        self.avx._mm256_div_ps(a, b)
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        self.avx._mm256_max_ps(a, b)
    }

    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        self.avx._mm256_andnot_ps(self.splat(-0.0), x)
    }

    #[inline(always)]
    fn whole(self, x: __m256) -> __m256i {
        self.avx._mm256_cvtps_epi32(x)
    }

    #[inline(always)]
    fn floats(self, x: __m256i) -> __m256 {
        self.avx._mm256_cvtepi32_ps(x)
    }

    #[inline(always)]
    fn power_of_two(self, x: __m256i) -> __m256 {
        let biased = self
            .avx2
            ._mm256_add_epi32(x, self.avx._mm256_set1_epi32(127));
        cast(self.avx2._mm256_slli_epi32::<23>(biased))
    }

    #[inline(always)]
    fn halves(self, x: &[u16; LANES]) -> __m256 {
        // F16C has one instruction for it, but `pulp` does not vouch for that feature.
        // Widening repeats the sign, so that after the shift it stands where a float has it, and in
        // three bits of the exponent, which are cleared; a product keeps the sign.
        let wide = self.avx2._mm256_cvtepi16_epi32(cast(*x));
        let mask = self
            .avx
            ._mm256_set1_epi32(i32::from_ne_bytes(0x8fff_ffffu32.to_ne_bytes()));
        let shifted = self.avx2._mm256_slli_epi32::<13>(wide);
        let number = self.avx2._mm256_and_si256(shifted, mask);
        self.mul(cast(number), self.splat(HALF_SCALE))
    }

    #[inline(always)]
    fn bytes(self, x: [__m256i; 4]) -> [u8; BLOCK] {
        let first = self.avx2._mm256_packs_epi32(x[0], x[1]);
        let second = self.avx2._mm256_packs_epi32(x[2], x[3]);
        // Packing works on halves of a vector and leaves their parts out of order.
        let order: __m256i = cast([0i32, 4, 1, 5, 2, 6, 3, 7]);
        let packed = self.avx2._mm256_packs_epi16(first, second);
        cast(self.avx2._mm256_permutevar8x32_epi32(packed, order))
    }

    #[inline(always)]
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &Block8,
        columns: [&[Columns<T>; 8]; N],
    ) -> [[__m256i; T]; N] {
        let ones = self.avx._mm256_set1_epi16(1);
        let mut sums = [[self.avx._mm256_setzero_si256(); T]; N];
        for index in 0..weights.len() {
            // The instruction multiplies bytes without a sign by bytes with one, so the sign of the
            // weight moves over to the column. 128 * 127 twice is just below what 16 bits hold.
            let line: __m256i = cast(weights[index].0);
            let sizes = self.avx2._mm256_abs_epi8(line);
            for tile in 0..N {
                for token in 0..T {
                    let column = i32::from_le_bytes(columns[tile][index][token]);
                    let column = self.avx._mm256_set1_epi32(column);
                    let column = self.avx2._mm256_sign_epi8(column, line);
                    let pairs = self.avx2._mm256_maddubs_epi16(sizes, column);
                    let fours = self.avx2._mm256_madd_epi16(pairs, ones);
                    sums[tile][token] = self.avx2._mm256_add_epi32(sums[tile][token], fours);
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
        let mask = self.avx._mm256_set1_epi8(15);
        let mut sums = [[self.avx._mm256_setzero_si256(); T]; N];
        for index in 0..weights.len() {
            let line: __m256i = cast(weights[index].0);
            let low = self.avx2._mm256_and_si256(line, mask);
            let high = self.avx2._mm256_srli_epi16::<4>(line);
            let high = self.avx2._mm256_and_si256(high, mask);
            for tile in 0..N {
                for token in 0..T {
                    // A whole block stays within 16 bits: 16 pairs of at most 2 * 15 * 127 / 2 each.
                    let column = i32::from_le_bytes(columns[tile][index][token]);
                    let column = self.avx._mm256_set1_epi32(column);
                    let pairs = self.avx2._mm256_maddubs_epi16(low, column);
                    let sum = self.avx2._mm256_add_epi16(sums[tile][token], pairs);
                    let column = i32::from_le_bytes(columns[tile][index + 4][token]);
                    let column = self.avx._mm256_set1_epi32(column);
                    let pairs = self.avx2._mm256_maddubs_epi16(high, column);
                    sums[tile][token] = self.avx2._mm256_add_epi16(sum, pairs);
                }
            }
        }
        let ones = self.avx._mm256_set1_epi16(1);
        for tile in 0..N {
            for token in 0..T {
                let sum = self.avx2._mm256_madd_epi16(sums[tile][token], ones);
                let offset = self.avx._mm256_set1_epi32(offsets[tile][token]);
                sums[tile][token] = self.avx2._mm256_sub_epi32(sum, offset);
            }
        }
        sums
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        let upper = self.avx._mm256_extractf128_ps::<1>(x);
        let quarters = self
            .sse
            ._mm_add_ps(self.avx._mm256_castps256_ps128(x), upper);
        let pairs = self
            .sse
            ._mm_add_ps(quarters, self.sse._mm_movehl_ps(quarters, quarters));
        let last = self.sse3._mm_movehdup_ps(pairs);
        self.sse._mm_cvtss_f32(self.sse._mm_add_ss(pairs, last))
    }

    #[inline(always)]
    fn soon<T>(self, place: &T, bytes_ahead: usize) {
        let place = std::ptr::from_ref(place).cast::<i8>();
        self.sse._mm_prefetch::<3>(place.wrapping_add(bytes_ahead));
    }
}
