//! What all requests to AWS have in common: the domain of the endpoints, and the signature.

pub(crate) mod signature;

/// Returns the domain of a region's endpoints.
/// Source: <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
pub(crate) fn endpoint_domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
