//! What a processor does eight numbers at a time.
//!
//! Every operation is one rounding of IEEE 754, that of a product and a sum together too, and every sum has
//! one order, so all machines give the same bits: a test compares them for equality.

/// Numbers in a vector.
pub(crate) const LANES: usize = 8;
/// Numbers that share a scale, in weights and in activations.
pub(crate) const BLOCK: usize = 32;

/// The exponent of a half, read as that of a float, is too small by 112.
pub(crate) const HALF_SCALE: f32 = f32::from_bits(0x7780_0000);

/// Adding it rounds to a whole number, which then stands in the lower bits.
pub(crate) const ROUNDING: f32 = 12_582_912.0;

/// Turning it in a byte with a sign makes a byte without one that is 128 larger.
pub(crate) const SIGN: u8 = 0x80;

/// Rows of a matrix that lie together: as many as the widest vectors take.
pub(crate) const ROWS: usize = 16;

/// Four columns of `T` tokens.
pub(crate) type Columns<const T: usize> = [[u8; 4]; T];

/// A line of the cache: four columns of as many rows as a machine takes at a time, and of the next four
/// columns, if there is room.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u8; 4 * ROWS]);

/// Vectors of a processor.
pub(crate) trait Machine: Copy + Send + Sync {
    /// Eight f32.
    type Floats: Copy;
    /// Eight i32.
    type Whole: Copy;
    /// How it multiplies rows of a matrix.
    type Rows: Rows;
    /// Vectors that its registers hold.
    const REGISTERS: usize;

    fn rows(self) -> Self::Rows;

    fn splat(self, x: f32) -> Self::Floats;
    fn load(self, x: &[f32; LANES]) -> Self::Floats;
    fn lanes(self, x: Self::Floats) -> [f32; LANES];
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    fn div(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The larger one, the second if one is not a number.
    fn max(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    fn abs(self, x: Self::Floats) -> Self::Floats;
    /// The nearest whole number, the even one of two; for sizes below 2^22.
    fn whole(self, x: Self::Floats) -> Self::Whole;
    fn floats(self, x: Self::Whole) -> Self::Floats;
    /// Two to the power of whole numbers in `-126..=127`.
    fn power_of_two(self, x: Self::Whole) -> Self::Floats;
    /// Finite numbers of half precision.
    fn halves(self, x: &[u16; LANES]) -> Self::Floats;
    /// 32 whole numbers in `-128..=127`, as bytes.
    fn bytes(self, x: [Self::Whole; 4]) -> [u8; BLOCK];
    /// All eight together: halves, then quarters, then neighbours.
    fn sum(self, x: Self::Floats) -> f32;
    /// The largest of all eight, where all are numbers.
    fn largest(self, x: Self::Floats) -> f32;
    /// Says that memory from here on will be read soon.
    fn soon<T>(self, place: &T, bytes_ahead: usize);
}

/// Vectors of rows of a matrix: all [`ROWS`] that lie together, or a part of them.
pub(crate) trait Rows: Copy {
    /// An f32 for every row.
    type Floats: Copy;
    /// An i32 for every row.
    type Whole: Copy;
    /// Rows of a vector; [`ROWS`] are a multiple of it, it is one of [`LANES`].
    const COUNT: usize;
    /// Parts of [`ROWS`].
    const PARTS: usize = ROWS / Self::COUNT;

    fn zero(self) -> Self::Floats;
    /// Scales of a part of the rows, which are finite numbers of half precision.
    fn scales(self, scales: &[u16; ROWS], part: usize) -> Self::Floats;
    /// `sums` and the products, which are to be scaled by rows and by `step`, rounded as [`Machine`] says.
    fn add(
        self,
        sums: Self::Floats,
        products: Self::Whole,
        scales: Self::Floats,
        step: f32,
    ) -> Self::Floats;
    /// The rows, eight and eight.
    fn eights(self, floats: Self::Floats) -> impl AsRef<[[f32; LANES]]>;
    /// Products of a part of the rows with `N` times `T` tokens. `weights` are a block at 8 bits, their signs
    /// turned: four columns of row 0, of row 1, and so on; eight times. Columns are in `-127..=127`, as
    /// products of bytes in pairs need. `offsets` are the products with weights of -128: a machine may need
    /// them.
    fn products8<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[Self::Whole; T]; N];
    /// The same for weights in `0..=15`: a byte holds column `c` and, in its upper half, column `c + 16`.
    /// `offsets` are the products with weights of -8.
    fn products4<const T: usize, const N: usize>(
        self,
        weights: &[Line],
        columns: [&[Columns<T>; 8]; N],
        offsets: [&[i32; T]; N],
    ) -> [[Self::Whole; T]; N];
}

/// Work that is compiled once for every machine.
pub(crate) trait Work {
    fn run<M: Machine>(self, machine: M);
}

/// Runs `work` on the best machine that this processor has.
pub(crate) fn run(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    let Err(work) = super::x86::run(work) else {
        return;
    };
    work.run(super::portable::Portable);
}

/// Rows that this processor's vectors have.
pub(crate) fn rows_together() -> usize {
    struct Ask<'a>(&'a mut usize);
    impl Work for Ask<'_> {
        fn run<M: Machine>(self, _: M) {
            *self.0 = M::Rows::COUNT;
        }
    }
    let mut rows = LANES;
    run(Ask(&mut rows));
    rows
}

/// `e` to the power of every `x` in `-87..=87`, within a share of `2e-7 + 1e-7 * |x|`.
///
/// All go through one operation after the other: what one waits for, the others fill.
#[inline(always)]
pub(crate) fn exp<M: Machine, const W: usize>(m: M, mut x: [M::Floats; W]) -> [M::Floats; W] {
    const SERIES: [f32; 6] = [
        1.339_887_4e-3,
        9.618_437e-3,
        5.550_332_5e-2,
        0.240_226_48,
        std::f32::consts::LN_2,
        1.0,
    ];
    let (zero, least) = (m.splat(0.0), m.splat(-126.0));
    for x in &mut x {
        *x = m.max(m.mul(*x, m.splat(std::f32::consts::LOG2_E)), least);
    }
    // The smaller one, by way of the larger of their opposites.
    for x in &mut x {
        *x = m.sub(zero, m.max(m.sub(zero, *x), least));
    }
    let mut whole = [m.whole(zero); W];
    for (whole, x) in whole.iter_mut().zip(&mut x) {
        *whole = m.whole(*x);
        *x = m.sub(*x, m.floats(*whole));
    }
    let mut sums = [m.splat(1.535_336_2e-4); W];
    for factor in SERIES {
        for (sum, rest) in sums.iter_mut().zip(x) {
            *sum = m.mul_add(*sum, rest, m.splat(factor));
        }
    }
    for (sum, whole) in sums.iter_mut().zip(whole) {
        *sum = m.mul(*sum, m.power_of_two(whole));
    }
    sums
}

/// The activation of Gemma: `gelu` in its tanh form, written as `x * sigmoid`.
#[inline(always)]
pub(crate) fn gelu<M: Machine, const W: usize>(m: M, x: [M::Floats; W]) -> [M::Floats; W] {
    const LINEAR: f32 = 1.595_769_2;
    const CUBIC: f32 = 0.071_354_814;
    let mut opposites = x;
    for opposite in &mut opposites {
        let (x, square) = (*opposite, m.mul(*opposite, *opposite));
        let inner = m.mul(x, m.mul_add(square, m.splat(CUBIC), m.splat(LINEAR)));
        *opposite = m.sub(m.splat(0.0), inner);
    }
    let mut gates = exp(m, opposites);
    for (gate, x) in gates.iter_mut().zip(x) {
        *gate = m.div(x, m.add(m.splat(1.0), *gate));
    }
    gates
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Exponentials<'a>(&'a mut Vec<(f32, f32, f32)>);

    impl Work for Exponentials<'_> {
        fn run<M: Machine>(self, m: M) {
            for step in -160i16..=160 {
                let x = f32::from(step) * 0.5;
                let [power] = exp(m, [m.splat(x)]);
                let [gate] = gelu(m, [m.splat(x)]);
                let (power, gate) = (m.lanes(power)[0], m.lanes(gate)[0]);
                self.0.push((x, power, gate));
            }
        }
    }

    #[test]
    fn exponentials_are_right_and_the_same_on_every_machine() {
        let (mut best, mut plain) = (Vec::new(), Vec::new());

        run(Exponentials(&mut best));
        Exponentials(&mut plain).run(super::super::portable::Portable);

        assert_eq!(best, plain);
        for (x, power, gate) in best {
            let wide = f64::from(x);
            let share = f64::from(power) / wide.exp() - 1.0;
            assert!(share.abs() < 2e-7 + 1e-7 * wide.abs(), "{x}: {power}");
            let inner = 0.797_884_560_802_865_4 * (wide + 0.044_715 * wide.powi(3));
            let right = 0.5 * wide * (1.0 + inner.tanh());
            assert!(
                (f64::from(gate) - right).abs() < 1e-6 * wide.abs().max(1.0),
                "{x}: {gate}"
            );
        }
    }
}
