"""Use cases of the fleet server: load, decide with the domain's rules, save.

    config       what an operator may set
    records      what is stored, as values
    ports        what storage and files must offer
    enrolment    who may become a device
    access       who an administrator is
    trust        signed metadata that people bring
    publish      releases
    fleet_plan   rollouts and releases, as check-in needs them
    checkin      what one device should do next
    feedback     what a device says about a deployment
    telemetry    windows, each once
    evidence     windows and deployments -> what a gate reads
    rollouts     start, step and steer rollouts
    fleet        devices as people see and set them
    narrative    happenings as sentences
    assembly     all of it, put together
    views        records -> what the management API answers

No HTTP and no SQL here.
"""
