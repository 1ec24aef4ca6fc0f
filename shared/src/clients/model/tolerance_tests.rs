//! Deviations of servers from the Responses API that the parser accepts, one test a row.
