//! API Gateway: the routes of an HTTP API.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Answer, Aws, segment};

/// The URI of each route's integration, by the route's key, for example `GET /chatkit/sessions`.
pub type Routes = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "T: Deserialize<'de>")]
struct Page<T> {
    #[serde(default = "Vec::new")]
    items: Vec<T>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Route {
    route_key: String,
    target: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Integration {
    integration_id: String,
    integration_uri: String,
}

impl Aws {
    pub async fn routes(&self, api: &str) -> Answer<Routes> {
        let routes: Vec<Route> = self.pages(api, "routes").await?;
        let integrations: Vec<Integration> = self.pages(api, "integrations").await?;
        let uris: BTreeMap<String, String> = integrations
            .into_iter()
            .map(|one| (format!("integrations/{}", one.integration_id), one.integration_uri))
            .collect();
        let uri = |target: &str| uris.get(target).cloned().unwrap_or_default();
        Ok(routes.into_iter().map(|route| (route.route_key, uri(&route.target))).collect())
    }

    /// Reads all pages of a collection. API Gateway has one action for all reads.
    async fn pages<T: for<'de> Deserialize<'de>>(&self, api: &str, collection: &str) -> Answer<Vec<T>> {
        let path = format!("/v2/apis/{}/{collection}", segment(api));
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let page: Page<T> = self.get("apigateway:GET", "apigateway", &format!("{path}{next}")).await?;
            items.extend(page.items);
            match page.next_token {
                Some(token) => next = format!("?nextToken={}", segment(&token)),
                None => return Ok(items),
            }
        }
    }
}
