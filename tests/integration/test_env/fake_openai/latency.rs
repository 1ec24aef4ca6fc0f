//! Answers that come late, and answers that never come.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use local_stack::openai::{Fault, On};

use super::Api;
use super::faults::{after, io_kind, wanted};

// NAME: stand-in: a slow answer is slow
/// An answer that is delayed or late comes late; and a caller who gives up does not stop the work.
#[tokio::test]
async fn a_slow_answer_is_slow() -> Result<()> {
    let api = Api::start().await?;
    let slow = Duration::from_millis(300);
    let on = Fault::new(On::CreateSession);
    for (fault, done_at_once) in [(on.clone().delay(slow), false), (on.late(slow), true)] {
        let before = api.standin.sessions().len();
        api.standin.fault(fault.times(2));
        let started = Instant::now();
        api.create(&wanted("u")).send().await?.bytes().await?;
        assert!(started.elapsed() >= slow);

        let given_up = api.create(&wanted("u")).timeout(slow / 3).send().await;
        assert!(given_up.is_err_and(|e| e.is_timeout()));
        if !done_at_once {
            assert_eq!(api.standin.sessions().len(), before + 1);
        }
        let deadline = Instant::now() + 10 * slow;
        while api.standin.sessions().len() < before + 2 && Instant::now() < deadline {
            tokio::time::sleep(slow / 30).await;
        }
        assert_eq!(after(&api), (before + 2, Some((None, Some(200)))));
    }
    Ok(())
}

// NAME: stand-in: a dropped stand-in refuses connections
/// A stand-in that is dropped is gone: its connections end and its port is closed.
#[tokio::test]
async fn a_dropped_standin_refuses_connections() -> Result<()> {
    let api = Api::start().await?;
    api.standin.fault(Fault::everywhere().late(Duration::from_secs(60)));
    let (hanging, later) = (api.create(&wanted("u")), api.create(&wanted("u")));
    let hanging = tokio::spawn(hanging.send());
    while api.standin.sessions().is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    drop(api);
    assert!(tokio::time::timeout(Duration::from_secs(5), hanging).await??.is_err());
    // The port closes a moment after the connections; one that is made in between is cut.
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let again = later.try_clone().context("a body that cannot be sent twice")?;
        let refused = again.send().await.err().context("an answer came")?;
        match io_kind(&refused) {
            Some(ErrorKind::ConnectionRefused) => return Ok(()),
            Some(ErrorKind::ConnectionReset) if Instant::now() < deadline => {}
            other => panic!("{other:?} {refused:?}"),
        }
    }
}
