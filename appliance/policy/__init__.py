"""May you? Roles, labels, traits and rules, decided without IO, clock or randomness.

    Role (domain) ─compile_plan─▶ Plan ─decide(node, login, now)─▶ AccessPermit | AccessNeed | AccessDeny
         └─ RuleSet ─decide(resource, verb, context)─▶ RulePermit | RuleDeny

    decision       the questions: decide_access, decide_rule       outcome   what is asked, what is answered
    plan           one person's roles compiled to bit masks        explain   why, in sentences
    compiled       plans kept per person, with an index of nodes   nodes     all nodes by label, as bit sets
    labels         label conditions                                algebra   expressions over all nodes
    options        merging for a session                           logins    merging for a login
    rules          verbs on resources                              destinations   where forwards may go
    impersonation  in whose name                                   joining   whose session, with whom
    where          predicates (syntax, types, functions)           traits    templates
    pattern        literal, glob or expression                     regex     expressions in linear time
    presets        the roles of a new cluster                      check     mistakes only policy can see

Imports the vocabulary only. Raises nothing of its own but `Invalid` (and `DocumentError` from
`check_role`), and only for roles that should not have been accepted.
"""
