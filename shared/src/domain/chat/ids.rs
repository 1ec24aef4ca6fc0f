//! Ids and times of threads and items.

use uuid::Uuid;

use crate::platform::parse::Timestamp;

/// Beginning of an id, as in ChatKit. Hidden items have prefixes of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdPrefix {
    Thread,
    /// Messages, widgets, structured inputs, images and the end of a turn.
    Message,
    ClientToolCall,
    Workflow,
    Task,
    Attachment,
    /// Context that only the model reads.
    HiddenContext,
    Reasoning,
    /// A call of a tool that the model requests.
    Call,
    CallOutput,
}

impl IdPrefix {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thread => "thr_",
            Self::Message => "msg_",
            Self::ClientToolCall => "tc_",
            Self::Workflow => "wf_",
            Self::Task => "tsk_",
            Self::Attachment => "atc_",
            Self::HiddenContext => "shcx_",
            Self::Reasoning => "rsn_",
            Self::Call => "call_",
            Self::CallOutput => "fco_",
        }
    }
}

/// Source of ids and times. Tests replace it.
pub trait ItemSource {
    /// Returns 128 random bits.
    fn random(&mut self) -> u128;

    fn now(&mut self) -> Timestamp;
}

/// The system's random numbers and clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSource;

impl ItemSource for SystemSource {
    fn random(&mut self) -> u128 {
        // A UUID stays, with fewer random bits, in the case that the generator fails.
        let mut bytes = Uuid::now_v7().into_bytes();
        let _ = aws_lc_rs::rand::fill(&mut bytes);
        u128::from_be_bytes(bytes)
    }

    fn now(&mut self) -> Timestamp {
        Timestamp::now()
    }
}

/// Returns a new id: the prefix and 32 hexadecimal digits.
pub fn new_id(prefix: IdPrefix, source: &mut impl ItemSource) -> String {
    format!("{}{:032x}", prefix.as_str(), source.random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_prefix_and_128_random_bits() {
        let ids: Vec<_> = (0..100).map(|_| new_id(IdPrefix::Workflow, &mut SystemSource)).collect();
        for id in &ids {
            let digits = id.strip_prefix("wf_").unwrap();
            assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        // A UUID of version 7 has its version in this digit.
        assert!(ids.iter().any(|id| &id[15..16] != "7"), "{ids:?}");
    }
}
