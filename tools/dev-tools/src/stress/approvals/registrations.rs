use fastrand::Rng;

use super::generator::{Theme, chance, choose};
use super::registry::{Agent, Approver, Policy, Risk, Role, Route, Server, Tool, Unit};

/// The agents, each with its tool.
const AGENTS: [(&str, &str); 2] = [("alpha", "pay"), ("beta", "work")];

pub const AMOUNT: &str = "/data/amount";
pub const CURRENCY: &str = "/data/currency";

pub fn agents(rng: &mut Rng, theme: Theme) -> Vec<Agent> {
    let agent = |(place, (id, _)): (usize, &(&'static str, &'static str))| Agent {
        id,
        enabled: true,
        allowed_org_roles: if place == 1 {
            roles_or_all(rng, if theme == Theme::FollowUps { 6 } else { 20 })
        } else {
            None
        },
        server: server(rng, theme, place),
    };
    AGENTS.iter().enumerate().map(agent).collect()
}

pub fn roles_or_all(rng: &mut Rng, percent: u32) -> Option<Vec<Role>> {
    chance(rng, percent).then(|| {
        let mut roles: Vec<Role> = Role::ALL.into_iter().filter(|_| rng.bool()).collect();
        if roles.is_empty() {
            roles.push(Role::Owner);
        }
        roles
    })
}

pub fn server(rng: &mut Rng, theme: Theme, agent: usize) -> Server {
    let (id, name) = AGENTS[agent];
    let route = |event_type, session_agent| Route { tool: name, event_type, session_agent };
    let mut routes = vec![route("button_click", Some(id))];
    if agent == 1 || chance(rng, 20) {
        routes.push(route(
            "agent_follow_up",
            if chance(rng, if theme == Theme::FollowUps { 96 } else { 80 }) { None } else { Some("alpha") },
        ));
    }
    if chance(rng, 60) {
        routes.push(route("handover", Some(id)));
    }
    if chance(rng, 10) {
        routes.push(route("button_click", None));
    }
    let listed =
        !chance(rng, if matches!(theme, Theme::FollowUps | Theme::Edits | Theme::Chats) { 2 } else { 7 });
    if !listed {
        routes.clear();
    }
    let tools = if listed { vec![tool(rng, theme, name)] } else { Vec::new() };
    Server {
        max_attempts: rng.i64(1..if matches!(theme, Theme::Leases | Theme::Chats) { 3 } else { 4 }),
        tools,
        routes,
    }
}

pub fn invalid_server(rng: &mut Rng, agent: usize) -> Server {
    let mut server = server(rng, Theme::Totals, agent);
    for tool in &mut server.tools {
        match rng.u32(..3) {
            0 => tool.has_unknown_field = true,
            1 => (tool.policy, tool.risk) = (Policy::Confirm, choose(rng, &[Risk::Medium, Risk::High])),
            _ => (tool.amount_pointer, tool.ask_above) = (None, Some(5)),
        }
    }
    server
}

fn policy(rng: &mut Rng, theme: Theme) -> Policy {
    let (auto, confirm, ask) = match theme {
        Theme::Totals => (85, 8, 5),
        Theme::Edits => (25, 5, 70),
        Theme::Confirms => (10, 80, 9),
        Theme::Asks => (55, 15, 29),
        Theme::FollowUps => (97, 1, 2),
        Theme::Leases => (75, 10, 14),
        Theme::Chats => (76, 9, 13),
        _ => (40, 20, 36),
    };
    match rng.u32(..100) {
        draw if draw < auto => Policy::Auto,
        draw if draw < auto + confirm => Policy::Confirm,
        draw if draw < auto + confirm + ask => Policy::Ask,
        _ => Policy::Never,
    }
}

fn tool(rng: &mut Rng, theme: Theme, name: &'static str) -> Tool {
    let policy = policy(rng, theme);
    let risk = match policy {
        Policy::Confirm => Risk::Low,
        _ if theme == Theme::Asks && chance(rng, 60) => Risk::Low,
        _ => choose(rng, &[Risk::Low, Risk::Low, Risk::Medium, Risk::High]),
    };
    let measured = match theme {
        Theme::Totals | Theme::Edits => chance(rng, 95),
        Theme::FollowUps => chance(rng, 12),
        Theme::Asks => chance(rng, 80),
        Theme::Chats => chance(rng, 65),
        _ => chance(rng, 60),
    };
    let limit = |rng: &mut Rng, percent: u32, limits: &[u32]| {
        (measured && chance(rng, percent)).then(|| choose(rng, limits))
    };
    Tool {
        name,
        idempotent: chance(rng, if theme == Theme::Leases { 80 } else { 50 }),
        policy,
        amount_pointer: measured.then(|| AMOUNT.to_owned()),
        currency: chance(rng, 35).then(|| "EUR".to_owned()),
        currency_pointer: chance(rng, 35).then(|| CURRENCY.to_owned()),
        unit: if chance(rng, 20) { Unit::Minor } else { Unit::Major },
        ask_above: limit(rng, if theme == Theme::Totals { 15 } else { 45 }, &[1000]),
        ask_above_total: limit(rng, if theme == Theme::Totals { 85 } else { 20 }, &[1000, 2500]),
        refuse_above: limit(rng, 30, &[10_000]),
        release_lowered_amount: measured && chance(rng, if theme == Theme::Edits { 65 } else { 40 }),
        risk,
        approver: if chance(rng, 70) { Approver::Itself } else { Approver::Other },
        ask_expires_in_seconds: choose(rng, &[600, 3600, 86_400]),
        is_described: chance(rng, if theme == Theme::Chats { 95 } else { 50 }),
        trusts_tool_output: chance(rng, 30),
        has_unknown_field: false,
    }
}
