//! The registry: agents, their tools, and their routes.

use serde_json::{Map, Value, json};

use super::escalations::schema;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Owner,
    Admin,
    Approver,
    Member,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Approver, Self::Member];

    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Approver => "approver",
            Self::Member => "member",
        }
    }

    pub fn approves(self) -> bool {
        self != Self::Member
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    Auto,
    Confirm,
    Ask,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Major,
    Minor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    Low,
    Medium,
    High,
}

impl Risk {
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Approver {
    Itself,
    Other,
}

impl Approver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Itself => "self",
            Self::Other => "other",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: &'static str,
    pub idempotent: bool,
    pub policy: Policy,
    pub amount_pointer: Option<String>,
    pub currency: Option<String>,
    pub currency_pointer: Option<String>,
    pub unit: Unit,
    pub ask_above: Option<u32>,
    pub ask_above_total: Option<u32>,
    pub refuse_above: Option<u32>,
    pub release_lowered_amount: bool,
    pub risk: Risk,
    pub approver: Approver,
    pub ask_expires_in_seconds: i64,
    /// Whether it has a description, so that models may call it.
    pub is_described: bool,
    pub trusts_tool_output: bool,
    /// Adds an unknown field to the registration.
    pub has_unknown_field: bool,
}

impl Tool {
    fn registration(&self) -> Value {
        let policy = match self.policy {
            Policy::Auto => "auto",
            Policy::Confirm => "confirm",
            Policy::Ask => "ask",
            Policy::Never => "never",
        };
        let mut fields = json!({
            "name": self.name, "idempotent": self.idempotent, "policy": policy,
            "unit": if self.unit == Unit::Major { "major" } else { "minor" },
            "release_lowered_amount": self.release_lowered_amount, "risk": self.risk.name(),
            "approver": self.approver.name(), "ask_expires_in_seconds": self.ask_expires_in_seconds,
            "trusts_tool_output": self.trusts_tool_output,
        });
        let optional = [
            ("amount_pointer", json!(self.amount_pointer)),
            ("currency", json!(self.currency)),
            ("currency_pointer", json!(self.currency_pointer)),
            ("ask_above", json!(self.ask_above)),
            ("ask_above_total", json!(self.ask_above_total)),
            ("refuse_above", json!(self.refuse_above)),
            ("description", if self.is_described { json!("Pays an invoice.") } else { Value::Null }),
            ("input_schema", if self.is_described { schema() } else { Value::Null }),
            ("ask_above_sum", if self.has_unknown_field { json!(1) } else { Value::Null }),
        ];
        for (name, value) in optional {
            if !value.is_null() {
                fields[name] = value;
            }
        }
        fields
    }

    /// Returns whether the registration is invalid.
    pub fn is_invalid(&self) -> bool {
        self.has_unknown_field
            // `confirm` requires low risk.
            || (self.policy == Policy::Confirm && self.risk != Risk::Low)
            || (self.amount_pointer.is_none() && (self.has_limit() || self.release_lowered_amount))
    }

    pub fn has_limit(&self) -> bool {
        self.ask_above.is_some() || self.ask_above_total.is_some() || self.refuse_above.is_some()
    }
}

/// Routes a type of event to a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub tool: &'static str,
    pub event_type: &'static str,
    pub session_agent: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub max_attempts: i64,
    pub tools: Vec<Tool>,
    pub routes: Vec<Route>,
}

impl Server {
    /// The arguments of `register_agent_server`, without organisation and agent.
    pub fn registration(&self) -> Map<String, Value> {
        let routes: Vec<Value> = self.routes.iter().map(Route::registration).collect();
        let tools: Vec<Value> = self.tools.iter().map(Tool::registration).collect();
        let fields = [
            ("p_url", json!("https://agents.example.com/mcp")),
            ("p_tools", json!(tools)),
            ("p_routes", json!(routes)),
            ("p_max_attempts", json!(self.max_attempts)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Route {
    fn registration(&self) -> Value {
        let mut fields = json!({ "tool": self.tool, "event_type": self.event_type });
        if let Some(agent) = self.session_agent {
            fields["session_agent_id"] = json!(agent);
        }
        fields
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub id: &'static str,
    pub enabled: bool,
    /// `None` for every member.
    pub allowed_org_roles: Option<Vec<Role>>,
    pub server: Server,
}

impl Agent {
    /// Returns whether a role may use the agent.
    pub fn allows(&self, role: Role) -> bool {
        self.allowed_org_roles.as_ref().is_none_or(|roles| roles.contains(&role))
    }
}
