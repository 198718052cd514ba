//! Every target over valid messages with random damage: what can be had without
//! libFuzzer and a nightly compiler.

use bson::doc;

use super::*;

/// Xorshift: the same inputs on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Inputs that get far: documents, and contents of messages.
fn seeds() -> Vec<Vec<u8>> {
    let document = doc! { "find": "c", "filter": { "a": [1, 2_i64, 3.0] }, "s": "t", "n": null };
    let document = document.to_vec().expect("a document");
    let section = [
        &[1, 9 + document.len() as u8, 0, 0, 0],
        &b"docs\0"[..],
        &document,
    ]
    .concat();
    let mut two_sections = [&[0; 4], &section[..], &[0], &document].concat();
    let mut seeds = Vec::new();
    for message in [
        reply::op_msg(1, 0, 0, &document),
        op_query(1, "admin.$cmd", &document),
        op_reply(1, 0, &document),
    ] {
        for with in [Compressor::Snappy, Compressor::Zlib(6), Compressor::Zstd] {
            let packed = compress(&message, with).expect("a compressed message");
            seeds.push(packed[HEADER_LEN..].to_vec());
        }
        seeds.push(message[HEADER_LEN..].to_vec());
        seeds.push(message);
    }
    let mut summed = framed(opcode::MSG, &two_sections);
    op_msg::append_checksum(&mut summed);
    seeds.push(summed[HEADER_LEN..].to_vec());
    seeds.push(std::mem::take(&mut two_sections));
    seeds.push(conversation());
    seeds.push(document);
    seeds
}

/// What a driver sends until it would be logged in: a hello that begins a login, and the step
/// after it, once plain and once compressed.
fn conversation() -> Vec<u8> {
    let binary = |bytes: &[u8]| bson::Binary {
        subtype: bson::spec::BinarySubtype::Generic,
        bytes: bytes.to_vec(),
    };
    let start = doc! { "saslStart": 1, "mechanism": "SCRAM-SHA-256", "db": "admin",
    "payload": binary(b"n,,n=app,r=c") };
    let hello = doc! { "hello": 1, "speculativeAuthenticate": start.clone(), "$db": "admin" };
    let mut again = start;
    again.insert("$db", "admin");
    let proceed = doc! { "saslContinue": 1, "conversationId": 1, "payload": binary(b"c=biws"),
    "$db": "admin" };
    let message = |document: &bson::Document| {
        let document = document.to_vec().expect("a document");
        reply::op_msg(1, 0, 0, &document)
    };
    let packed = compress(&message(&again), Compressor::Snappy).expect("a compressed message");
    [message(&hello), packed, message(&proceed)].concat()
}

#[test]
fn the_unauthenticated_path_is_walked_to_the_proof() {
    assert_eq!(TARGETS[0].0, "anonymous", "what needs no login comes first");
    assert_eq!(anonymous::walk(&conversation()), 2);
}

#[test]
fn the_seeds_get_far() {
    let message = |content: &Vec<u8>| framed(opcode::MSG, content);
    let parsed = seeds()
        .iter()
        .filter(|seed| OpMsg::parse(&message(seed)).is_ok())
        .count();
    assert_eq!(parsed, 3, "plain, with two sections, with a checksum");
}

#[test]
fn no_target_finds_a_broken_promise() {
    let mut random = Random(0x5EED_CAFE);
    let seeds = seeds();
    for seed in &seeds {
        TARGETS.iter().for_each(|(_, target)| target(seed));
        for _ in 0..500 {
            let mut input = seed.clone();
            for _ in 0..1 + random.below(4) {
                damage(&mut input, &mut random);
            }
            TARGETS.iter().for_each(|(_, target)| target(&input));
        }
    }
}

fn damage(input: &mut Vec<u8>, random: &mut Random) {
    const ODD: [u8; 8] = [0, 1, 2, 4, 5, 0x7F, 0x80, 0xFF];

    let at = random.below(input.len());
    match random.below(4) {
        0 => input.truncate(at),
        1 => input.insert(at, ODD[random.below(ODD.len())]),
        _ => {
            let byte = match random.below(2) {
                0 => ODD[random.below(ODD.len())],
                _ => random.below(256) as u8,
            };
            if let Some(slot) = input.get_mut(at) {
                *slot = byte;
            }
        }
    }
}
