super::vocabulary! {
    /// Who ended a connection.
    Party {
        Client = "client": "The client.",
        Target = "target": "The target (upstream).",
        Proxy = "proxy": "This proxy, by a limit, a timeout, a rule or a fault of its own.",
        Operator = "operator": "A person or a service manager: stop, reload or kill.",
    }
}
