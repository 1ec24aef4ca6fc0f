//! The revisions of MCP that a server can be held to.

use rmcp::model::ProtocolVersion;

/// A revision of MCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Revision {
    /// With `initialize` and a session.
    V20250618,
    /// Likewise, with streams that can be taken up again.
    V20251125,
    /// Without either: each request says all.
    #[default]
    V20260728,
}

impl Revision {
    /// All of them, oldest first.
    pub const ALL: [Self; 3] = [Self::V20250618, Self::V20251125, Self::V20260728];

    /// As the protocol writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V20250618 => "2025-06-18",
            Self::V20251125 => "2025-11-25",
            Self::V20260728 => "2026-07-28",
        }
    }

    /// What a server of this revision speaks, and nothing else.
    pub(super) fn spoken(self) -> &'static [ProtocolVersion] {
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
