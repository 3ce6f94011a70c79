//! Randomness from a seed.

use fastrand::Rng;

/// A source of random numbers. The same seed brings back the same ones.
#[derive(Clone, Debug)]
pub struct Random(Rng);

impl Random {
    /// The stream `name` of a seed: what one part of a run draws does not shift what another draws.
    #[must_use]
    pub fn stream(seed: u64, name: u64) -> Self {
        Self(Rng::with_seed(seed ^ Rng::with_seed(name).u64(..)))
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// As the kernel's `bpf_get_prandom_u32`.
    pub fn any_u32(&mut self) -> u32 {
        self.0.u32(..)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// Exponential, by inversion.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// Uniform below `count`.
    pub fn below(&mut self, count: u64) -> u64 {
        self.0.u64(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_brings_back_its_numbers() {
        let draw = |seed, name| Random::stream(seed, name).any();
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn the_mean_is_the_mean() {
        let mut random = Random::stream(1, 1);
        let mean = (0..100_000).map(|_| random.exponential(5.0)).sum::<f64>() / 100_000.0;
        assert!((mean - 5.0).abs() < 0.1, "{mean}");
    }
}
