//! GET /chatkit/agents
fn main() {}
