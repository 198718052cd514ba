use proptest::prelude::*;

use super::*;
use crate::wire::fixtures::{A1, body, framed, op_msg};

const ALL: [Compressor; 3] = [Compressor::Snappy, Compressor::Zlib(-1), Compressor::Zstd];

/// An OP_COMPRESSED of an OP_MSG, field by field.
fn wrapped(op_code: i32, size: i32, id: u8, data: &[u8]) -> Vec<u8> {
    let fields = [&op_code.to_le_bytes()[..], &size.to_le_bytes(), &[id], data].concat();
    framed(opcode::COMPRESSED, &fields)
}

/// The data of a compressed message.
fn data(plain: &[u8], with: Compressor) -> Vec<u8> {
    compress(&framed(opcode::MSG, plain), with).unwrap()[DATA_AT..].to_vec()
}

#[test]
fn the_plain_length_is_told_before_any_work() {
    let plain = framed(opcode::MSG, &[0; 100]);
    assert_eq!(
        plain_len(&compress(&plain, Compressor::Zstd).unwrap()),
        Some(plain.len())
    );
    assert_eq!(plain_len(&plain), None);
    assert_eq!(plain_len(&wrapped(opcode::MSG, -1, 2, &[])), None);
    assert_eq!(
        plain_len(&wrapped(opcode::MSG, i32::MAX, 2, &[])),
        Some(i32::MAX as usize + 16)
    );
    assert_eq!(plain_len(&[1, 0, 0]), None);
}

#[test]
fn names_and_ids() {
    for (compressor, name, id) in [
        (Compressor::Snappy, "snappy", 1),
        (Compressor::Zlib(-1), "zlib", 2),
        (Compressor::Zstd, "zstd", 3),
    ] {
        assert_eq!((compressor.name(), compressor.id()), (name, id));
        assert_eq!(Compressor::from_name(name), Some(compressor));
        assert_eq!(Compressor::from_id(id), Some(compressor));
    }
    assert_eq!(Compressor::from_name("noop"), None);
    assert_eq!(
        (Compressor::from_id(0), Compressor::from_id(4)),
        (None, None)
    );
}

#[test]
fn credentials_and_handshakes_stay_plain() {
    for name in [
        "hello",
        "isMaster",
        "ismaster",
        "saslStart",
        "saslContinue",
        "getnonce",
        "authenticate",
        "createUser",
        "updateUser",
        "copydb",
        "copydbgetnonce",
        "copydbSaslStart",
    ] {
        assert!(!is_compressible(name.as_bytes()), "{name}");
    }
    for name in ["find", "helloWorld", "ping", ""] {
        assert!(is_compressible(name.as_bytes()), "{name}");
    }
}

#[test]
fn the_wrapper_byte_for_byte() {
    let plain = op_msg(0, &[body(&A1)]);
    let message = wrapped(opcode::MSG, 17, 0, &plain[16..]);
    #[rustfmt::skip]
    assert_eq!(&message[..DATA_AT], [
        42, 0, 0, 0,  17, 0, 0, 0,  0, 0, 0, 0,  0xDC, 7, 0, 0,
        0xDD, 7, 0, 0,  17, 0, 0, 0,  0,
    ]);
    assert_eq!(decompress(&message, 33).unwrap(), plain);
    for with in ALL {
        let compressed = compress(&plain, with).unwrap();
        let start = wrapped(opcode::MSG, 17, with.id(), &compressed[DATA_AT..]);
        assert_eq!(compressed, start);
    }
}

#[test]
fn zlib_levels() {
    let plain = framed(opcode::MSG, &b"level ".repeat(5_000));
    let len = |level| {
        let compressed = compress(&plain, Compressor::Zlib(level)).unwrap();
        assert_eq!(decompress(&compressed, MAX_MESSAGE_LEN).unwrap(), plain);
        compressed.len()
    };
    assert!(len(0) > plain.len());
    assert_eq!(len(-1), len(6));
    assert_eq!(len(10), len(-1));
}

#[test]
fn sizes_are_bounded_before_anything_else() {
    for (size, max) in [(18, 17), (-1, 17), (i32::MAX, 17), (i32::MIN, 17)] {
        let message = wrapped(opcode::MSG, size, 1, &[]);
        assert_eq!(
            decompress(&message, 33),
            Err(WireError::PlainSize { size, max })
        );
    }
    let largest = wrapped(opcode::MSG, 48_000_000 - 15, 2, &[0; 100]);
    assert_eq!(
        decompress(&largest, usize::MAX),
        Err(WireError::PlainSize {
            size: 47_999_985,
            max: 47_999_984
        })
    );
    assert!(decompress(&wrapped(opcode::MSG, 1, 0, &[1]), 3).is_err());
}

#[test]
fn the_announced_size_is_exact() {
    let plain = b"0123456789".repeat(100);
    for with in ALL {
        let data = data(&plain, with);
        for size in [0, 1, 999, 1001, 40_000_000] {
            let message = wrapped(opcode::MSG, size, with.id(), &data);
            let error = WireError::Decompress {
                id: with.id(),
                size: size as usize,
            };
            assert_eq!(
                decompress(&message, MAX_MESSAGE_LEN),
                Err(error),
                "{with:?} {size}"
            );
        }
        assert!(decompress(&wrapped(opcode::MSG, 1000, with.id(), &data), 1016).is_ok());
    }
    let noop = wrapped(opcode::MSG, 5, 0, &[1; 4]);
    assert_eq!(
        decompress(&noop, 100),
        Err(WireError::Decompress { id: 0, size: 5 })
    );
}

#[test]
fn a_bomb_is_refused_at_its_announced_size() {
    let zeros = vec![0; 40_000_000];
    for with in ALL {
        let bomb = data(&zeros, with);
        assert!(bomb.len() < 2_500_000);
        let message = wrapped(opcode::MSG, 1_000, with.id(), &bomb);
        let error = WireError::Decompress {
            id: with.id(),
            size: 1_000,
        };
        assert_eq!(decompress(&message, MAX_MESSAGE_LEN), Err(error));
    }
}

#[test]
fn an_impossible_ratio_is_refused_without_memory() {
    for with in [Compressor::Snappy, Compressor::Zlib(-1)] {
        let message = wrapped(opcode::MSG, 47_000_000, with.id(), &data(b"x", with));
        assert!(decompress(&message, MAX_MESSAGE_LEN).is_err());
        assert!(!is_plausible(with.id(), &data(b"x", with), 47_000_000));
    }
}

#[test]
fn cut_and_lengthened_data_is_refused() {
    let plain = b"some text, some more text, some more text".repeat(3);
    for with in ALL {
        let whole = data(&plain, with);
        for cut in 0..whole.len() {
            let message = wrapped(opcode::MSG, plain.len() as i32, with.id(), &whole[..cut]);
            assert!(
                decompress(&message, 1_000).is_err(),
                "{with:?} cut at {cut}"
            );
        }
        let longer = [&whole[..], &[0]].concat();
        let message = wrapped(opcode::MSG, plain.len() as i32, with.id(), &longer);
        assert!(decompress(&message, 1_000).is_err(), "{with:?} lengthened");
    }
}

#[test]
fn no_nesting_either_way() {
    let inner = compress(&op_msg(0, &[body(&A1)]), Compressor::Snappy).unwrap();
    for with in ALL {
        assert_eq!(compress(&inner, with), Err(WireError::NestedCompression));
        let size = inner.len() as i32 - 16;
        let outer = wrapped(
            opcode::COMPRESSED,
            size,
            with.id(),
            &data(&inner[16..], with),
        );
        assert_eq!(decompress(&outer, 1_000), Err(WireError::NestedCompression));
    }
}

#[test]
fn unknown_compressors_and_other_messages() {
    for id in 4..=255 {
        let message = wrapped(opcode::MSG, 1, id, &[1]);
        assert_eq!(
            decompress(&message, 100),
            Err(WireError::UnknownCompressor { id })
        );
    }
    assert_eq!(
        decompress(&op_msg(0, &[]), 100),
        Err(WireError::Opcode {
            found: opcode::MSG,
            expected: opcode::COMPRESSED
        })
    );
    let whole = wrapped(opcode::MSG, 0, 0, &[]);
    for len in 16..whole.len() {
        let cut = framed(opcode::COMPRESSED, &whole[16..len]);
        assert_eq!(decompress(&cut, 100), Err(WireError::Truncated { len }));
    }
    assert_eq!(decompress(&whole, 100).unwrap(), framed(opcode::MSG, &[]));
    let message = op_msg(0, &[body(&A1)]);
    assert_eq!(
        compress(&message[..32], Compressor::Zstd),
        Err(WireError::LengthMismatch {
            declared: 33,
            actual: 32
        })
    );
}

proptest! {
    #[test]
    fn decompresses_what_it_compresses(
        op_code in any::<i32>().prop_filter("not itself", |&code| code != opcode::COMPRESSED),
        pattern in prop::collection::vec(any::<u8>(), 0..300),
        times in 0_usize..40,
        level in -2..12,
    ) {
        let plain = framed(op_code, &pattern.repeat(times));
        for with in [Compressor::Snappy, Compressor::Zlib(level), Compressor::Zstd] {
            let compressed = compress(&plain, with).unwrap();
            prop_assert_eq!(&decompress(&compressed, plain.len()).unwrap(), &plain);
            let too_small = decompress(&compressed, plain.len() - 1);
            let size = plain.len() - 16;
            if size > 0 {
                let (size, max) = (size as i32, size - 1);
                prop_assert_eq!(too_small, Err(WireError::PlainSize { size, max }));
            }
        }
    }

    #[test]
    fn any_bytes_end_without_panic(
        size in 0..5_000,
        id in 0_u8..5,
        data in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decompress(&data, 1_000);
        let message = wrapped(opcode::MSG, size, id, &data);
        if let Ok(plain) = decompress(&message, MAX_MESSAGE_LEN) {
            prop_assert_eq!(plain.len(), 16 + size as usize);
        }
    }
}
