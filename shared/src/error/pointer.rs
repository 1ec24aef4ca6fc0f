//! JSON pointers to the position of an error in a document.

use serde_path_to_error::{Path, Segment};

/// Converts a parser's path to a JSON pointer (RFC 6901).
pub fn pointer(path: &Path) -> String {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}
