//! `POST /chatkit/sessions/{id}/events`: records events of the frontend.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::RecordEvents>()
}
