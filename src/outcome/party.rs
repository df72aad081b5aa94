super::vocabulary! {
    /// Who ended a connection.
    Party {
        Client = "client": "The client: by what it did, or did not do in time.",
        Target = "target": "The target (upstream): by what it did, or did not do in time.",
        Proxy = "proxy": "This proxy: by a rule, by a time limit that neither side alone has broken, or by a fault of its own.",
        Operator = "operator": "A person or a service manager: stop, reload or kill.",
    }
}
