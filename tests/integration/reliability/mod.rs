mod outages;
mod recorded_results;
mod upstream_errors;
