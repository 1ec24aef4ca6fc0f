//! The MCP revisions that a server can support.

use rmcp::model::ProtocolVersion;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Revision {
    /// `initialize` and sessions.
    V20250618,
    /// `initialize`, sessions and resumable streams.
    V20251125,
    /// Stateless: neither `initialize` nor sessions.
    #[default]
    V20260728,
}

impl Revision {
    pub const ALL: [Self; 3] = [Self::V20250618, Self::V20251125, Self::V20260728];

    /// Returns the protocol's version string.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V20250618 => "2025-06-18",
            Self::V20251125 => "2025-11-25",
            Self::V20260728 => "2026-07-28",
        }
    }

    /// Returns the only version that a server of this revision accepts.
    pub(super) fn versions(self) -> &'static [ProtocolVersion] {
        const OLDEST: &[ProtocolVersion] = &[ProtocolVersion::V_2025_06_18];
        const OLDER: &[ProtocolVersion] = &[ProtocolVersion::V_2025_11_25];
        const NEWEST: &[ProtocolVersion] = &[ProtocolVersion::V_2026_07_28];
        match self {
            Self::V20250618 => OLDEST,
            Self::V20251125 => OLDER,
            Self::V20260728 => NEWEST,
        }
    }
}
