//! Servers that are built with MCP's SDKs: two versions of the Python SDK, and the TypeScript SDK
//! with one process or with two processes behind one address. Shared servers are started once.

mod calls;
mod deliveries;

use anyhow::Result;
use local_stack::agents::SdkServer;
use local_stack::runtime;
use local_stack::toolchain::{MCP_2026, Tool};
use tokio::sync::OnceCell;

/// Returns the server of this Python SDK that all tests of the process share.
async fn python_server(sdk: Tool) -> Result<&'static SdkServer> {
    static SERVERS: [OnceCell<SdkServer>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
    let start = || runtime::run(async move { Ok(SdkServer::start(sdk).await?) });
    SERVERS[usize::from(sdk == MCP_2026)].get_or_try_init(start).await
}

/// Returns two servers of the TypeScript SDK that all tests of the process share. They reject
/// unknown sessions with different statuses.
async fn typescript_servers() -> Result<[&'static SdkServer; 2]> {
    static SERVERS: [OnceCell<SdkServer>; 2] = [OnceCell::const_new(), OnceCell::const_new()];
    let start = |status| runtime::run(async move { Ok(SdkServer::start_node(status).await?) });
    let first = SERVERS[0].get_or_try_init(|| start(404));
    let second = SERVERS[1].get_or_try_init(|| start(400));
    let (first, second) = tokio::try_join!(first, second)?;
    Ok([first, second])
}
