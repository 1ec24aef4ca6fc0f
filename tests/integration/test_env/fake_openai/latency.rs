//! Delayed responses, and the end of the fake.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use local_stack::openai::{Fault, Operation};

use super::Api;
use super::faults::{io_kind, outcome, session_body};

#[tokio::test]
async fn delayed_response_completes_after_client_timeout() -> Result<()> {
    let api = Api::start().await?;
    let slow = Duration::from_millis(300);
    let on = Fault::new(Operation::CreateSession);
    for (fault, takes_effect_at_once) in [(on.clone().delay(slow), false), (on.delay_response(slow), true)] {
        let before = api.fake.sessions().len();
        api.fake.add_fault(fault.times(2));
        let started = Instant::now();
        api.create(&session_body("u")).send().await?.bytes().await?;
        assert!(started.elapsed() >= slow);

        let timed_out = api.create(&session_body("u")).timeout(slow / 3).send().await;
        assert!(timed_out.is_err_and(|e| e.is_timeout()));
        if !takes_effect_at_once {
            assert_eq!(api.fake.sessions().len(), before + 1);
        }
        let deadline = Instant::now() + 10 * slow;
        while api.fake.sessions().len() < before + 2 && Instant::now() < deadline {
            tokio::time::sleep(slow / 30).await;
        }
        assert_eq!(outcome(&api), (before + 2, Some((None, Some(200)))));
    }
    Ok(())
}

#[tokio::test]
async fn dropped_server_refuses_connections() -> Result<()> {
    let api = Api::start().await?;
    api.fake.add_fault(Fault::everywhere().delay_response(Duration::from_secs(60)));
    let (pending, later) = (api.create(&session_body("u")), api.create(&session_body("u")));
    let pending = tokio::spawn(pending.send());
    while api.fake.sessions().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(api);
    assert!(tokio::time::timeout(Duration::from_secs(5), pending).await??.is_err());
    // The port closes after the connections. A connection in between is reset.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let request = later.try_clone().context("the request cannot be cloned")?;
        let error = request.send().await.err().context("expected an error, found a response")?;
        match io_kind(&error) {
            Some(ErrorKind::ConnectionRefused) => return Ok(()),
            Some(ErrorKind::ConnectionReset) if Instant::now() < deadline => {}
            other => panic!("expected a refused connection, found {other:?}: {error:?}"),
        }
    }
}
