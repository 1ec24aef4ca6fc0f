mod cargo_lambda_watch;
mod fake_model;
mod fake_openai;
mod local_stack;
mod openai_sdk;
mod tool_installation;
