//! The size of a program and of its upload.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Overhead of a zip file with one file: two headers, its name twice, and the end of the list.
const ZIP_OVERHEAD: u64 = 30 + 46 + 22 + 2 * "bootstrap".len() as u64;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Bytes of the program.
    pub binary: u64,
    /// Bytes of the zip file with the program.
    pub zipped: u64,
}

impl Size {
    pub fn measure(program: &Path) -> Result<Self> {
        let bytes = std::fs::read(program).with_context(|| format!("reading {}", program.display()))?;
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&bytes)?;
        Ok(Self { binary: bytes.len() as u64, zipped: encoder.finish()?.len() as u64 + ZIP_OVERHEAD })
    }
}
