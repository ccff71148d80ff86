//! Processors with AVX2, which is every x86 server and laptop of the last ten years; newer ones multiply
//! bytes with VNNI.
#![expect(
    clippy::inline_always,
    reason = "vector code is made where the processor's features are known"
)]

use std::arch::x86_64::{__m256, __m256i};

use pulp::x86::V3;
use pulp::{NullaryFnOnce, cast};

use super::bytes::{Bytes, Pairs, Vnni};
use super::machine::{BLOCK, LANES, Machine, Work};

/// A processor by how it multiplies bytes; the rest is alike.
#[derive(Clone, Copy)]
pub(super) struct X86<B> {
    v3: V3,
    bytes: B,
}

/// Runs `work` where the processor has what it takes; gives it back where it has not.
pub(super) fn run<W: Work>(work: W) -> Result<(), W> {
    let Some(v3) = V3::try_new() else {
        return Err(work);
    };
    match Vnni::try_new() {
        Some(vnni) => with_vnni(v3, vnni, work),
        None => without_vnni(v3, work),
    }
    Ok(())
}

fn with_vnni(v3: V3, vnni: Vnni, work: impl Work) {
    let machine = X86 { v3, bytes: vnni };
    vnni.vectorize(Call { machine, work });
}

fn without_vnni(v3: V3, work: impl Work) {
    let machine = X86 {
        v3,
        bytes: Pairs(v3),
    };
    v3.vectorize(Call { machine, work });
}

/// The same as [`run`] on a processor without VNNI; whether it is one with AVX2 at all.
#[cfg(test)]
pub(super) fn run_without_vnni(work: impl Work) -> bool {
    V3::try_new().map(|v3| without_vnni(v3, work)).is_some()
}

/// Work in the form that `pulp` compiles for a processor.
struct Call<M, W> {
    machine: M,
    work: W,
}

impl<M: Machine, W: Work> NullaryFnOnce for Call<M, W> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        self.work.run(self.machine);
    }
}

impl<B: Bytes> Machine for X86<B> {
    type Floats = __m256;
    type Whole = __m256i;
    type Rows = B;
    const REGISTERS: usize = B::REGISTERS;

    #[inline(always)]
    fn rows(self) -> B {
        self.bytes
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        self.v3.avx._mm256_set1_ps(x)
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
        self.v3.avx._mm256_add_ps(a, b)
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_sub_ps(a, b)
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_mul_ps(a, b)
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.v3.fma._mm256_fmadd_ps(a, b, c)
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_div_ps(a, b)
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        self.v3.avx._mm256_max_ps(a, b)
    }

    #[inline(always)]
    fn abs(self, x: __m256) -> __m256 {
        self.v3.avx._mm256_andnot_ps(self.splat(-0.0), x)
    }

    #[inline(always)]
    fn whole(self, x: __m256) -> __m256i {
        self.v3.avx._mm256_cvtps_epi32(x)
    }

    #[inline(always)]
    fn floats(self, x: __m256i) -> __m256 {
        self.v3.avx._mm256_cvtepi32_ps(x)
    }

    #[inline(always)]
    fn power_of_two(self, x: __m256i) -> __m256 {
        let biased = self
            .v3
            .avx2
            ._mm256_add_epi32(x, self.v3.avx._mm256_set1_epi32(127));
        cast(self.v3.avx2._mm256_slli_epi32::<23>(biased))
    }

    #[inline(always)]
    fn halves(self, x: &[u16; LANES]) -> __m256 {
        self.bytes.halves(x)
    }

    #[inline(always)]
    fn bytes(self, x: [__m256i; 4]) -> [u8; BLOCK] {
        let first = self.v3.avx2._mm256_packs_epi32(x[0], x[1]);
        let second = self.v3.avx2._mm256_packs_epi32(x[2], x[3]);
        // Packing works on halves of a vector and leaves their parts out of order.
        let order: __m256i = cast([0i32, 4, 1, 5, 2, 6, 3, 7]);
        let packed = self.v3.avx2._mm256_packs_epi16(first, second);
        cast(self.v3.avx2._mm256_permutevar8x32_epi32(packed, order))
    }

    #[inline(always)]
    fn sum(self, x: __m256) -> f32 {
        let upper = self.v3.avx._mm256_extractf128_ps::<1>(x);
        let quarters = self
            .v3
            .sse
            ._mm_add_ps(self.v3.avx._mm256_castps256_ps128(x), upper);
        let pairs = self
            .v3
            .sse
            ._mm_add_ps(quarters, self.v3.sse._mm_movehl_ps(quarters, quarters));
        let last = self.v3.sse3._mm_movehdup_ps(pairs);
        self.v3
            .sse
            ._mm_cvtss_f32(self.v3.sse._mm_add_ss(pairs, last))
    }

    #[inline(always)]
    fn largest(self, x: __m256) -> f32 {
        let V3 { sse, sse3, avx, .. } = self.v3;
        let upper = avx._mm256_extractf128_ps::<1>(x);
        let quarters = sse._mm_max_ps(avx._mm256_castps256_ps128(x), upper);
        let pairs = sse._mm_max_ps(quarters, sse._mm_movehl_ps(quarters, quarters));
        sse._mm_cvtss_f32(sse._mm_max_ss(pairs, sse3._mm_movehdup_ps(pairs)))
    }

    #[inline(always)]
    fn soon<T>(self, place: &T, bytes_ahead: usize) {
        let place = std::ptr::from_ref(place).cast::<i8>();
        self.v3
            .sse
            ._mm_prefetch::<3>(place.wrapping_add(bytes_ahead));
    }
}
