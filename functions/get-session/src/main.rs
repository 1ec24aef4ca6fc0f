//! `GET /chatkit/sessions/{id}`: everything that a page shows of a session.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::GetSession>()
}
