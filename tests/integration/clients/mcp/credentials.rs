//! Bearer tokens, which are sent only to the origin for which they are configured.

use anyhow::{Result, ensure};
use local_stack::agents::{Agent, AgentFleet, Fault, Revision, Settings};
use serde_json::json;
use shared::clients::mcp::{CallError, ErrorResponse, Reason, Target};

use super::{call, client, completed, failure, payment, target};

const BEARER: &str = "t0ken-of-payables";

#[tokio::test]
async fn bearer_token_is_sent_to_its_origin_only() -> Result<()> {
    for revision in Revision::ALL {
        let settings = Settings { revision, streams: false };
        let (ours, other) =
            (Agent::accounts_payable(settings).await?, Agent::accounts_payable(settings).await?);
        let client = client(&[ours.address(), other.address()], &credentials(&ours))?;
        let (our_url, other_url) = (ours.url(), other.url());
        let target_with = |url, credential| Target { credential, ..target(url) };

        completed(call(&client, &target_with(&our_url, Some("payables")), payment("k1", 7.0), None).await)?;
        let bearer = format!("Bearer {BEARER}");
        for request in ours.requests() {
            assert_eq!(request.header("authorization"), Some(bearer.as_str()), "{revision:?}: {request:?}");
        }
        let elsewhere =
            call(&client, &target_with(&other_url, Some("payables")), payment("k2", 7.0), None).await;
        assert_eq!(elsewhere, Err(CallError::NotSent(Reason::CredentialElsewhere)));
        let missing =
            call(&client, &target_with(&other_url, Some("treasury")), payment("k3", 7.0), None).await;
        assert_eq!(missing, Err(CallError::NotSent(Reason::CredentialMissing)));
        ensure!(
            other.requests().is_empty(),
            "{revision:?}: the agent received a request without its credential"
        );
        // A target without a credential receives no token.
        completed(call(&client, &target_with(&other_url, None), payment("k4", 7.0), None).await)?;
        ensure!(other.requests().iter().all(|request| request.header("authorization").is_none()));
    }
    Ok(())
}

#[tokio::test]
async fn redirect_is_not_followed() -> Result<()> {
    for revision in Revision::ALL {
        let settings = Settings { revision, streams: false };
        let (ours, other) =
            (Agent::accounts_payable(settings).await?, Agent::accounts_payable(settings).await?);
        let client = client(&[ours.address(), other.address()], &credentials(&ours))?;
        let url = ours.url();
        for location in
            [other.url(), "http://169.254.169.254/latest/meta-data/".to_owned(), "/mcp".to_owned()]
        {
            for (status, rpc) in
                [(301, "server/discover"), (302, "tools/call"), (307, "tools/call"), (308, "server/discover")]
            {
                let before = ours.requests().len();
                let fault =
                    ours.add_fault(Fault::on(rpc).status(status).header("location", &location).times(1));
                let target = Target { credential: Some("payables"), ..target(&url) };
                let error = failure(call(&client, &target, payment("k1", 7.0), None).await)?;
                let CallError::Answered(ErrorResponse { status: received, called, .. }) = error else {
                    anyhow::bail!("{revision:?}: {error:?}");
                };
                assert_eq!((received, called), (status, rpc == "tools/call"));
                ensure!(error.code() == "redirected" && !error.is_retryable());
                let after =
                    ours.requests().into_iter().skip(before).filter(|request| request.rpc == rpc).count();
                assert_eq!((ours.hits(fault), after), (1, 1), "followed to {location}");
            }
        }
        ensure!(other.requests().is_empty() && ours.actions().is_empty(), "{revision:?}");
    }
    Ok(())
}

#[tokio::test]
async fn local_stack_agents_accept_the_configured_credentials() -> Result<()> {
    let fleet = AgentFleet::start(Settings::default()).await?;
    let hosts: Vec<_> = fleet.iter().map(Agent::address).collect();
    let client = client(&hosts, &fleet.credentials())?;
    for agent in fleet.iter() {
        let url = agent.url();
        let target = Target { credential: Some(agent.id()), ..target(&url) };
        completed(call(&client, &target, payment("k1", 7.0), None).await)?;
        let bearer = format!("Bearer {}", fleet.bearer());
        ensure!(agent.calls().iter().all(|call| call.header("authorization") == Some(&bearer)));
        assert_eq!(agent.actions().len(), 1);
    }
    Ok(())
}

/// The configuration of an agent's credential.
fn credentials(agent: &Agent) -> String {
    json!({"payables": {"origin": format!("http://{}", agent.address()), "bearer": BEARER}}).to_string()
}
