//! What is no image, or none that is read, whatever it is called.

use fdeflate::compress_to_vec;

use super::{Ending, Hostile, hostile};

#[expect(clippy::too_many_lines, reason = "it is a list")]
pub(crate) fn files() -> Vec<Hostile> {
    let nobody = Ending::Code("unsupported_type");
    // Read with the feature, and then not to its end.
    let more = if cfg!(feature = "more-formats") {
        Ending::Cut
    } else {
        nobody
    };
    let text: [(&str, &[u8]); 14] = [
        (
            "svg.png",
            b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>",
        ),
        ("html.jpg", b"<!doctype html><script>alert(1)</script>"),
        (
            "xml-bomb.gif",
            b"<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><x>&b;</x>",
        ),
        ("php.webp", b"<?php system($_GET['c']); ?>"),
        ("script.png", b"#!/bin/sh\nrm -rf /\n"),
        ("postscript.jpg", b"%!PS-Adobe-3.0\n/a 1 def { } loop"),
        ("pdf.png", b"%PDF-1.7\n1 0 obj <</Type/Catalog>>"),
        ("icon.png", b"\0\0\x01\0\x01\0\0\0\0\0\x01\0\x20\0"),
        ("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("avif.webp", b"\0\0\0\x1cftypavif\0\0\0\0mif1avif"),
        (
            "imagemagick.png",
            b"push graphic-context\nfill 'url(https://a/\"|ls \"-la)'\n",
        ),
        ("wave.webp", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0"),
        ("one-byte", b"\xff"),
        ("half-a-magic", b"\x89PNG"),
    ];
    let mut files: Vec<Hostile> = text
        .map(|(name, bytes)| hostile(name, bytes.to_vec(), nobody))
        .into();
    let bitmap = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xff\xff\xff\x7f";
    files.push(hostile("bitmap.png", bitmap.to_vec(), more));
    let tiff = b"II*\0\x08\0\0\0\xff\xff\0\0\0\0\0\0\0\0";
    files.push(hostile("tiff.jpg", tiff.to_vec(), more));
    // Ten megabytes of nothing in a zip, a gzip and a zlib stream.
    let nothing = compress_to_vec(&vec![0; 10 << 20]);
    files.push(hostile(
        "zip-bomb.png",
        [b"PK\x03\x04\x14\0\0\0\x08\0", &nothing[2..]].concat(),
        nobody,
    ));
    files.push(hostile(
        "gzip-bomb.jpg",
        [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &nothing[2..]].concat(),
        nobody,
    ));
    files.push(hostile("zlib-bomb.gif", nothing, nobody));
    files.push(hostile("zeros", vec![0; 100_000], nobody));
    files.push(hostile("ones", vec![0xff; 100_000], nobody));
    files.push(hostile("empty.png", Vec::new(), Ending::Code("empty")));
    for (name, magic) in [
        ("jpeg", &b"\xff\xd8\xff\xe0"[..]),
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("gif", b"GIF89a"),
    ] {
        files.push(hostile(
            format!("only-the-magic.{name}"),
            magic.to_vec(),
            Ending::Cut,
        ));
        let noise: Vec<u8> = (0..50_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
            .collect();
        files.push(hostile(
            format!("magic-and-noise.{name}"),
            [magic, &noise].concat(),
            Ending::Any,
        ));
    }
    files
}
