"""What can go wrong outside our own code, by whose move it is. The command line turns each into one sentence."""


class Problem(Exception):  # noqa: N818 - the base of named problems
    """A sentence for the person at the keyboard: what is wrong and what to do."""

    exit_code = 1


class AnswerIsNo(Problem):
    """The command worked and the answer is no: a broken chain, a blocked gate."""

    exit_code = 1


class UsageProblem(Problem):
    """The caller's input is wrong: an option, a file, a pack."""

    exit_code = 2


class EnvironmentProblem(Problem):
    """The surroundings are not ready: no broker, no Java, no topic, no room."""

    exit_code = 3
