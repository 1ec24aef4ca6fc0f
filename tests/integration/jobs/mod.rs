mod claim_limits;
pub mod dispatch;
pub mod erasure;
pub mod maintenance;
