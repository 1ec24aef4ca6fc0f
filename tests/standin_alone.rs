//! Drives the stand-in's promises until the one test binary of all promises does.

#[path = "promises/openai_sdk/mod.rs"]
mod openai_sdk;
#[path = "promises/standin/mod.rs"]
mod standin;
#[path = "promises/tools.rs"]
mod tools;

macro_rules! promises {
    ($($room:ident { $($name:ident),* $(,)? })*) => { $($(
        #[tokio::test]
        async fn $name() -> anyhow::Result<()> {
            $room::$name().await
        }
    )*)* };
}

use openai_sdk::{refusals as sdk_refusals, retries, sessions as sdk_sessions, threads as sdk_threads, wire};
use standin::{answers, faults, life, lists, refusals, speech};

promises! {
    refusals {
        a_request_with_wrong_headers_is_refused,
        a_body_that_is_not_as_documented_is_refused,
        no_json_and_no_workflow_are_refused,
    }
    lists {
        a_list_that_is_not_as_documented_is_refused,
        pages_follow_each_other_without_gap_or_overlap,
        a_deleted_thread_is_gone,
    }
    answers {
        what_is_left_out_gets_its_default,
        what_is_asked_for_comes_back,
        an_unbound_key_works_in_the_project_it_names,
        nothing_that_is_printed_holds_a_secret,
    }
    sdk_sessions { the_sdk_makes_and_cancels_sessions }
    sdk_threads { the_sdk_reads_and_deletes_threads }
    sdk_refusals { refusals_arrive_as_the_sdks_exceptions }
    wire { the_sdks_calls_are_written_down }
    retries { the_sdk_tries_again_by_its_rules }
    tools {
        a_tool_is_installed_with_and_without_venv,
        what_is_half_made_is_not_used,
        many_askers_get_one_whole_folder,
        what_cannot_be_installed_is_not_taken_for_installed,
    }
    life { a_cancelled_session_is_dead, a_session_expires, a_session_expires_on_order }
    speech {
        a_thread_outlives_the_session_that_opened_it,
        a_wrong_message_is_refused,
        the_latest_version_fails_at_the_first_message,
        messages_above_the_limit_wait,
    }
    faults {
        a_status_is_answered_as_often_as_ordered,
        a_fault_lasts_until_it_is_cleared,
        a_fault_can_be_for_one_user,
        a_reset_is_a_reset,
        a_cut_body_is_half_a_body,
        nonsense_is_nonsense,
        a_slow_answer_is_slow,
        a_dropped_standin_refuses_connections,
    }
}
