//! How large a program is, and how large what is uploaded of it.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// What a zip file adds to one compressed file: two headers, its name twice, and the end of the list.
const ZIP_OVERHEAD: u64 = 30 + 46 + 22 + 2 * "bootstrap".len() as u64;

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The program itself.
    pub binary: u64,
    /// The zip file with only the program in it.
    pub zipped: u64,
}

impl Size {
    /// Of this program.
    pub fn of(program: &Path) -> Result<Self> {
        let bytes = std::fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes)?;
        Ok(Self { binary: bytes.len() as u64, zipped: encoder.finish()?.len() as u64 + ZIP_OVERHEAD })
    }
}
