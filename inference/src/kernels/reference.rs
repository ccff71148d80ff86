//! The products of the kernels against plain sums, over random shapes and the edges of numbers.

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::machine::{Columns, LANES, Line, Machine, ROWS, Rows, Work, run};
use super::multiply::{Wanted, gated, multiply, stride};
use super::pool::Pool;
use super::portable::Portable;
use super::tile::{Forms, Input, TILE, Tile, cut};
use super::weights::Matrix;
use crate::error::{Error, Result};
use crate::splitmix::SplitMix64;

#[expect(clippy::cast_possible_truncation, reason = "random numbers")]
pub(super) fn random(seed: &mut SplitMix64) -> f32 {
    (seed.unit() * 4.0 - 2.0) as f32
}

fn below(seed: &mut SplitMix64, bound: u64) -> usize {
    usize::try_from(seed.next() % bound).unwrap_or(0)
}

/// The bytes of a matrix in a file; every third scale is zero, and all bytes occur.
pub(super) fn file(kind: GgmlDType, rows: usize, width: usize, seed: &mut SplitMix64) -> Vec<u8> {
    let numbers: Vec<f32> = (0..rows * width).map(|_| random(seed)).collect();
    match kind {
        GgmlDType::F32 => return numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        GgmlDType::Q8_0 | GgmlDType::Q4_0 => {}
        kind => return of_candle(kind, numbers, width),
    }
    let bytes = if kind == GgmlDType::Q8_0 { 32 } else { 16 };
    let mut file = Vec::new();
    for block in 0..rows * width / 32 {
        let scale = if block % 3 == 2 {
            0.0
        } else {
            random(seed) * 0.01
        };
        file.extend(half::f16::from_f32(scale).to_le_bytes());
        let byte = |index| match index {
            0 => 0x80,
            1 => 0x7f,
            _ => seed.next().to_le_bytes()[0],
        };
        file.extend((0..bytes).map(byte));
    }
    file
}

/// Numbers as candle writes them.
fn of_candle(kind: GgmlDType, numbers: Vec<f32>, width: usize) -> Vec<u8> {
    let tensor = Tensor::from_vec(numbers, ((), width), &Device::Cpu);
    let tensor = tensor.and_then(|tensor| QTensor::quantize(&tensor, kind));
    let bytes = tensor.and_then(|tensor| Ok(tensor.data()?.to_vec()));
    bytes.expect("the width is that of whole blocks")
}

const OF_CANDLE: [GgmlDType; 5] = [
    GgmlDType::F16,
    GgmlDType::Q5_0,
    GgmlDType::Q4K,
    GgmlDType::Q6K,
    GgmlDType::BF16,
];

/// Puts rows into tiles on some machine.
struct Put<'a> {
    input: &'a mut Input,
    token: usize,
    row: &'a [f32],
}

impl Work for Put<'_> {
    fn run<M: Machine>(self, m: M) {
        let row = self.row.as_chunks::<LANES>().0;
        self.input.put(m, self.token, |index| m.load(&row[index]));
    }
}

pub(super) fn tiles(rows: &[f32], width: usize, portable: bool) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let tokens = rows.len() / width;
    let forms = Forms {
        quantised: true,
        plain: true,
    };
    cut(&mut tiles, tokens, width, forms);
    for tile in &mut tiles {
        tile.input.begin(tile.tokens, width);
        for token in 0..tile.tokens {
            let row = &rows[(tile.first + token) * width..][..width];
            let input = &mut tile.input;
            let put = Put { input, token, row };
            if portable {
                put.run(Portable);
            } else {
                run(put);
            }
        }
    }
    tiles
}

/// What a token was rounded to.
fn rounded(tiles: &[Tile], token: usize, column: usize) -> f64 {
    let (tile, token) = (&tiles[token / TILE], token % TILE);
    let (block, column) = (column / 32, column % 32);
    let place = ((block * 8 + column / 4) * tile.tokens + token) * 4 + column % 4;
    let quant = tile.input.quants[place].cast_signed();
    f64::from(quant) * f64::from(tile.input.scales[block * tile.tokens + token])
}

#[test]
fn products_are_those_of_plain_sums() -> Result<()> {
    let mut seed = SplitMix64(7);
    for round in 0..96 {
        let ours = [GgmlDType::Q8_0, GgmlDType::Q4_0, GgmlDType::F32];
        let kind = ours.iter().chain(&OF_CANDLE).nth(round % 8);
        let kind = kind.copied().unwrap_or(GgmlDType::F32);
        let block = kind.block_size().max(32);
        let (rows, width) = (1 + below(&mut seed, 40), block * (1 + below(&mut seed, 6)));
        let tokens = 1 + below(&mut seed, 14);
        let bytes = file(kind, rows, width, &mut seed);
        let matrix = Matrix::read("m", &mut bytes.as_slice(), kind, rows, width)?;
        let mut x: Vec<f32> = (0..tokens * width).map(|_| random(&mut seed)).collect();
        x[..width].fill(0.0);
        let (best, portable) = (tiles(&x, width, false), tiles(&x, width, true));
        let mut out = vec![0.0; rows.next_multiple_of(LANES) * stride(tokens)];

        multiply(
            &mut Pool::new(1 + round % 3)?,
            &[&matrix],
            &best,
            tokens,
            Wanted::Products,
            &mut out,
        );

        for (a, b) in best.iter().zip(&portable) {
            assert_eq!(
                (&a.input.quants, &a.input.offsets8, &a.input.offsets4),
                (&b.input.quants, &b.input.offsets8, &b.input.offsets4)
            );
            assert_eq!(
                (&a.input.scales, &a.input.plain),
                (&b.input.scales, &b.input.plain)
            );
        }
        let mut weights = vec![0.0; width];
        for row in 0..rows {
            matrix.look_up(row, &mut weights);
            for token in 0..tokens {
                let column = |column: usize| {
                    if matrix.is_plain() {
                        return f64::from(x[token * width + column]);
                    }
                    rounded(&best, token, column)
                };
                let products = weights.iter().enumerate();
                let products = products.map(|(place, w)| f64::from(*w) * column(place));
                let (right, size) = products.fold((0.0, 1e-6), |(sum, size), product| {
                    (sum + product, size + product.abs())
                });
                let ours =
                    f64::from(out[(row / LANES * stride(tokens) + token) * LANES + row % LANES]);
                assert!(
                    (ours - right).abs() < 1e-5 * size,
                    "{kind:?} {row} {token}: {ours} {right}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_gate_is_applied_to_its_products() -> Result<()> {
    let mut seed = SplitMix64(13);
    for round in 0..24 {
        let (rows, width) = (1 + below(&mut seed, 90), 64);
        let tokens = 1 + below(&mut seed, 14);
        let mut matrix = || {
            let bytes = file(GgmlDType::Q4_0, rows, width, &mut seed);
            Matrix::read("m", &mut bytes.as_slice(), GgmlDType::Q4_0, rows, width)
        };
        let matrices = [&matrix()?, &matrix()?];
        let x: Vec<f32> = (0..tokens * width).map(|_| random(&mut seed)).collect();
        let tiles = tiles(&x, width, false);
        let groups = matrices[0].groups();
        let products = |wanted| -> Result<_> {
            let mut out = vec![0.0; 2 * groups * LANES * stride(tokens)];
            let pool = &mut Pool::new(1 + round % 3)?;
            multiply(pool, &matrices, &tiles, tokens, wanted, &mut out);
            Ok(out)
        };

        let (both, ours) = (products(Wanted::Products)?, products(Wanted::Gated)?);

        for (row, token) in (0..rows).flat_map(|row| (0..tokens).map(move |token| (row, token))) {
            let place = |group| (group * stride(tokens) + token) * LANES + row % LANES;
            let group = row / LANES;
            let x = f64::from(both[place(group)]);
            let inner = 0.797_884_560_802_865_4 * (x + 0.044_715 * x.powi(3));
            let right = 0.5 * x * (1.0 + inner.tanh()) * f64::from(both[place(groups + group)]);
            let ours = f64::from(ours[place(gated(group))]);
            assert!(
                (ours - right).abs() < 1e-5 * (1.0 + right.abs()),
                "{row} {token}"
            );
        }
    }
    Ok(())
}

#[test]
fn kinds_without_a_kernel_are_hardly_rounded() -> Result<()> {
    let mut seed = SplitMix64(11);
    for kind in OF_CANDLE {
        let (rows, width) = (11, 256);
        let bytes = file(kind, rows, width, &mut seed);
        let storage = QStorage::from_data(bytes.clone().into(), &Device::Cpu, kind)?;
        let right = QTensor::new(storage, (rows, width))?.dequantize(&Device::Cpu)?;
        let matrix = Matrix::read("m", &mut bytes.as_slice(), kind, rows, width)?;

        let mut ours = vec![0.0; width];
        for (row, right) in right.to_vec2::<f32>()?.iter().enumerate() {
            matrix.look_up(row, &mut ours);
            for (ours, right) in ours.chunks(32).zip(right.chunks(32)) {
                let largest = right.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                for (ours, right) in ours.iter().zip(right) {
                    assert!(
                        (ours - right).abs() <= largest / 250.0,
                        "{kind:?} {ours} {right}"
                    );
                }
            }
        }
        let exact = matrix.is_plain();
        assert_eq!(exact, kind.block_size() == 1, "{kind:?}");
    }
    Ok(())
}

struct Products<'a>(&'a [Vec<u8>; 2], &'a mut Vec<[f32; LANES]>);

impl Work for Products<'_> {
    fn run<M: Machine>(self, m: M) {
        let Self([weights, columns], out) = self;
        let lines = weights.as_chunks().0;
        let columns = columns
            .as_chunks::<4>()
            .0
            .as_chunks::<3>()
            .0
            .as_chunks::<8>()
            .0;
        let eights = lines.as_chunks::<8>().0;
        let fours = lines.as_chunks::<4>().0;
        let others = columns.iter().skip(1);
        for ((eight, four), pair) in eights.iter().zip(fours).zip(columns.iter().zip(others)) {
            let columns = [pair.0, pair.1];
            let offsets = columns.map(offsets);
            let (rows, fours) = (m.rows(), [&[0, 77, -1234], &[5, 0, 9999]]);
            let mut sums = [[[0.0; LANES]; ROWS / LANES]; 12];
            let eights = M::Rows::COUNT / LANES;
            for part in 0..M::Rows::PARTS {
                let offsets = [&offsets[0], &offsets[1]];
                let eight = part_of::<M::Rows>(eight, part);
                let eight = rows.products8::<3, 2>(&eight, columns, offsets);
                let four = part_of::<M::Rows>(four, part);
                let four = rows.products4::<3, 2>(&four, columns, fours);
                let scales = rows.scales(&[half::f16::ONE.to_bits(); ROWS], part);
                let all = eight.into_iter().chain(four).flatten();
                for (sums, products) in sums.iter_mut().zip(all) {
                    let floats = rows.add(rows.zero(), products, scales, 1.0);
                    let part = &mut sums[part * eights..][..eights];
                    part.copy_from_slice(rows.eights(floats).as_ref());
                }
            }
            out.extend(sums.as_flattened());
        }
    }
}

/// A part of sixteen rows as a machine reads it.
fn part_of<R: Rows>(lines: &[[u8; 64]], part: usize) -> Vec<Line> {
    let fours = lines.iter().map(|line| line.chunks_exact(4 * R::COUNT));
    let fours = fours.filter_map(|mut parts| parts.nth(part));
    let bytes: Vec<u8> = fours.flatten().copied().collect();
    bytes.as_chunks().0.iter().copied().map(Line).collect()
}

/// The products of columns with weights of -128.
fn offsets<const T: usize>(columns: &[Columns<T>; 8]) -> [i32; T] {
    let mut offsets = [0; T];
    for four in columns {
        for (offset, bytes) in offsets.iter_mut().zip(four) {
            let bytes = bytes.iter().map(|byte| i32::from(byte.cast_signed()));
            *offset -= 128 * bytes.sum::<i32>();
        }
    }
    offsets
}

#[test]
fn every_machine_has_the_same_products_up_to_the_largest_bytes() {
    let mut seed = SplitMix64(3);
    let mut bytes = |edges: &[u8]| -> Vec<u8> {
        let byte = |place| match place % 5 {
            0..3 => edges[below(&mut seed, edges.len() as u64)],
            _ => seed.next().to_le_bytes()[0].max(0x81 & edges[0]),
        };
        (0..20 * 256).map(byte).collect()
    };
    let weights = bytes(&[0x80, 0x7f, 0xff, 0]);
    let columns: Vec<u8> = bytes(&[0x81, 0x7f])
        .iter()
        .map(|byte| (*byte).max(1))
        .collect();
    // -128 is not among the columns: quantising stops at 127.
    let columns = columns
        .iter()
        .map(|byte| if *byte == 0x80 { 0x81 } else { *byte })
        .collect();
    let cases = [weights, columns];
    let (mut best, mut plain) = (Vec::new(), Vec::new());

    run(Products(&cases, &mut best));
    Products(&cases, &mut plain).run(Portable);

    assert!(best.len() > 100);
    assert_eq!(best, plain);
    #[cfg(target_arch = "x86_64")]
    {
        let mut older = Vec::new();
        if super::x86::run_without_vnni(Products(&cases, &mut older)) {
            assert_eq!(older, plain);
        }
    }
}

#[test]
fn what_is_no_number_is_refused() {
    let mut seed = SplitMix64(1);
    for (kind, bad) in [
        (GgmlDType::F32, f32::NAN.to_le_bytes().to_vec()),
        (GgmlDType::F16, half::f16::INFINITY.to_le_bytes().to_vec()),
        (GgmlDType::Q5_0, half::f16::NAN.to_le_bytes().to_vec()),
    ] {
        let mut bytes = file(kind, 9, 64, &mut seed);
        bytes[..bad.len()].copy_from_slice(&bad);

        let refused = Matrix::read("m", &mut bytes.as_slice(), kind, 9, 64);

        assert!(matches!(refused, Err(Error::Corrupt { .. })), "{kind:?}");
    }
    for kind in [GgmlDType::Q8_0, GgmlDType::Q4_0] {
        for bad in [half::f16::NAN, half::f16::INFINITY, half::f16::NEG_INFINITY] {
            let mut bytes = file(kind, 9, 64, &mut seed);
            let last = bytes.len() - if kind == GgmlDType::Q8_0 { 34 } else { 18 };
            bytes[last..last + 2].copy_from_slice(&bad.to_le_bytes());

            let refused = Matrix::read("m", &mut bytes.as_slice(), kind, 9, 64);

            assert!(matches!(refused, Err(Error::Corrupt { .. })));
        }
        let cut_off = file(kind, 8, 64, &mut seed);
        let refused = Matrix::read("m", &mut cut_off.as_slice(), kind, 9, 64);
        assert!(matches!(refused, Err(Error::Corrupt { .. })));
    }
}

#[test]
fn halves_are_read_exactly() {
    struct Halves<'a>(&'a mut Vec<f32>);
    impl Work for Halves<'_> {
        fn run<M: Machine>(self, m: M) {
            for bits in (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00) {
                self.0.push(m.lanes(m.halves(&[bits; LANES]))[0]);
            }
        }
    }
    let all = (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00);
    let right: Vec<_> = all
        .map(|bits| half::f16::from_bits(bits).to_f32())
        .collect();
    let (mut best, mut plain) = (Vec::new(), Vec::new());

    run(Halves(&mut best));
    Halves(&mut plain).run(Portable);

    assert_eq!(best, right);
    assert_eq!(plain, right);
}
