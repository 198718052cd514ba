//! Randomness: cheap for spreading load, from the operating system for secrets.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = Cell::new(u64::from_le_bytes(secret()));
}

/// Bytes from the operating system's generator, for nonces and salts. A process image
/// may be cloned (Lambda SnapStart), so no generator of our own would do.
///
/// Falls back to the clock's low bits only when the operating system has none to give,
/// which no supported platform does after boot.
#[must_use]
pub fn secret<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = now.map_or(1, |n| n.as_nanos());
        bytes
            .iter_mut()
            .zip(seed.to_le_bytes().into_iter().cycle())
            .for_each(|(b, s)| *b = s);
    }
    bytes
}

/// A fast pseudo-random number (SplitMix64): for spreading, never for secrets.
#[must_use]
pub fn number() -> u64 {
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

/// Between 0 and 1.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
pub fn fraction() -> f64 {
    (number() >> 11) as f64 / (1_u64 << 53) as f64
}
