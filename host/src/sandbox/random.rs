use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::record::LimitHit;
use super::state::State;
use crate::grants::{Limit, RandomSource};

/// The random numbers of one call, and how many bytes of them it may still have.
pub(super) struct CallRandom {
    source: Source,
    bytes_left: u64,
    /// What the guest was given to seed a generator of its own with. It is the same however often it asks.
    insecure_seed: Option<(u64, u64)>,
}

enum Source {
    /// The generator is only made when it is wanted.
    Seed([u8; 32]),
    Seeded(Box<ChaCha12Rng>),
    Os,
}

impl CallRandom {
    pub(super) fn new(source: RandomSource, seed: [u8; 32], bytes_max: u64) -> Self {
        let source = match source {
            RandomSource::Seeded => Source::Seed(seed),
            RandomSource::Os => Source::Os,
        };
        Self { source, bytes_left: bytes_max, insecure_seed: None }
    }

    /// Fills a buffer, which was paid for.
    fn fill(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        if let Source::Seed(seed) = self.source {
            self.source = Source::Seeded(Box::new(ChaCha12Rng::from_seed(seed)));
        }
        match &mut self.source {
            Source::Seeded(generator) => generator.fill_bytes(bytes),
            Source::Os => getrandom::fill(bytes).map_err(wasmtime::Error::new)?,
            Source::Seed(_) => {}
        }
        Ok(())
    }
}

impl State {
    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.pay(len)?;
        let mut bytes = vec![0; usize::try_from(len)?];
        self.random.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.pay(bytes.len() as u64)?;
        self.random.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn pay(&mut self, bytes: u64) -> Result<(), LimitHit> {
        match self.random.bytes_left.checked_sub(bytes) {
            Some(left) => self.random.bytes_left = left,
            None => return Err(self.record.exceed(Limit::Random)),
        }
        Ok(())
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let seed = match self.random.insecure_seed {
            Some(seed) => seed,
            None => (self.random_u64()?, self.random_u64()?),
        };
        self.random.insecure_seed = Some(seed);
        Ok(seed)
    }
}
