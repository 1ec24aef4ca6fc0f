//! `POST /chatkit/sessions/{id}/events`: records what happened in the page.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::RecordEvents>()
}
