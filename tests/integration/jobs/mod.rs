mod claim_limits;
mod dispatch;
mod erasure;
mod maintenance;
