use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// Returns stream `trial` of ChaCha8 with key = seed (8 bytes, little-endian), domain (8 bytes), and a constant (16 bytes).
pub(crate) fn stream(seed: u64, domain: [u8; 8], trial: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&domain);
    key[16..].copy_from_slice(b"zerospace inject");
    let mut rng = ChaCha8Rng::from_seed(key);
    rng.set_stream(trial);
    rng
}
