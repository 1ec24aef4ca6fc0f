//! A bearer goes to the origin that it was configured for, and nowhere else.

use anyhow::{Result, ensure};
use local_stack::agents::{Agent, AgentFleet, Fault, Revision, Settings};
use serde_json::json;
use shared::clients::mcp::{CallError, ErrorResponse, Reason, Target};

use super::{call, client, completed, failure, payment, target};

const BEARER: &str = "t0ken-of-payables";

fn configured(agent: &Agent) -> String {
    json!({"payables": {"origin": format!("http://{}", agent.address()), "bearer": BEARER}}).to_string()
}

// NAME: mcp: a bearer goes to its own origin only
#[tokio::test]
async fn own_origin() -> Result<()> {
    for revision in Revision::ALL {
        let settings = Settings { revision, streams: false };
        let (ours, other) =
            (Agent::accounts_payable(settings).await?, Agent::accounts_payable(settings).await?);
        let client = client(&[ours.address(), other.address()], &configured(&ours))?;
        let (our_url, other_url) = (ours.url(), other.url());
        let shown = |url, credential| Target { credential, ..target(url) };

        completed(call(&client, &shown(&our_url, Some("payables")), payment("k1", 7.0), None).await)?;
        let bearer = format!("Bearer {BEARER}");
        for request in ours.requests() {
            assert_eq!(request.header("authorization"), Some(bearer.as_str()), "{revision:?}: {request:?}");
        }
        let elsewhere = call(&client, &shown(&other_url, Some("payables")), payment("k2", 7.0), None).await;
        assert_eq!(elsewhere, Err(CallError::NotSent(Reason::CredentialElsewhere)));
        let missing = call(&client, &shown(&other_url, Some("treasury")), payment("k3", 7.0), None).await;
        assert_eq!(missing, Err(CallError::NotSent(Reason::CredentialMissing)));
        ensure!(other.requests().is_empty(), "{revision:?}: asked without its credential");
        // Who refers to none is shown none.
        completed(call(&client, &shown(&other_url, None), payment("k4", 7.0), None).await)?;
        ensure!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    }
    Ok(())
}

// NAME: mcp: a redirect is not followed, with or without a bearer
#[tokio::test]
async fn redirects() -> Result<()> {
    for revision in Revision::ALL {
        let settings = Settings { revision, streams: false };
        let (ours, other) =
            (Agent::accounts_payable(settings).await?, Agent::accounts_payable(settings).await?);
        let client = client(&[ours.address(), other.address()], &configured(&ours))?;
        let url = ours.url();
        for to in [other.url(), "http://169.254.169.254/latest/meta-data/".to_owned(), "/mcp".to_owned()] {
            for (status, rpc) in
                [(301, "server/discover"), (302, "tools/call"), (307, "tools/call"), (308, "server/discover")]
            {
                let before = ours.requests().len();
                let fault = ours.fault(Fault::on(rpc).status(status).header("location", &to).times(1));
                let target = Target { credential: Some("payables"), ..target(&url) };
                let error = failure(call(&client, &target, payment("k1", 7.0), None).await)?;
                let CallError::Answered(ErrorResponse { status: answered, called, .. }) = error else {
                    anyhow::bail!("{revision:?}: {error:?}");
                };
                assert_eq!((answered, called), (status, rpc == "tools/call"));
                ensure!(error.code() == "redirected" && !error.is_retryable());
                let after =
                    ours.requests().into_iter().skip(before).filter(|request| request.rpc == rpc).count();
                assert_eq!((ours.hits(fault), after), (1, 1), "followed to {to}");
            }
        }
        ensure!(other.requests().is_empty() && ours.deeds().is_empty(), "{revision:?}");
    }
    Ok(())
}

// NAME: mcp: the local stack's agents can be called with what it configures
#[tokio::test]
async fn the_team() -> Result<()> {
    let team = AgentFleet::start(Settings::default()).await?;
    let hosts: Vec<_> = team.iter().map(Agent::address).collect();
    let client = client(&hosts, &team.credentials())?;
    for agent in team.iter() {
        let url = agent.url();
        let target = Target { credential: Some(agent.id()), ..target(&url) };
        completed(call(&client, &target, payment("k1", 7.0), None).await)?;
        let bearer = format!("Bearer {}", team.bearer());
        ensure!(agent.calls().iter().all(|call| call.header("authorization") == Some(&bearer)));
        assert_eq!(agent.deeds().len(), 1);
    }
    Ok(())
}
