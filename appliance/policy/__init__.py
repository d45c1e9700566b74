"""May you? Roles, labels, traits and rules, decided without IO, clock or randomness.

    Role (domain) ─compile_plan─▶ Plan ─decide(node, login, now)─▶ AccessPermit | AccessNeed | AccessDeny
         └─ RuleSet ─decide(resource, verb, context)─▶ RulePermit | RuleDeny

    outcome    what is asked about, and the answers with their explanations
    decision   the questions: decide_access, decide_rule
    plan       one person's roles compiled to bit masks
    compiled   plans kept per person, and an index of all nodes for lists
    labels     label conditions;  options    merging;  rules   verbs on resources;  explain   the sentences
    where      predicates (syntax → types → functions);  traits   templates;  pattern, regex   linear time
    presets    the roles of a new cluster;  check   everything about a role that only policy can see

Imports the vocabulary only. Raises nothing of its own but `Invalid` (and `DocumentError` from
`check_role`), and only for roles that should not have been accepted.
"""
