"""Says to every worker that the sweep is being stopped; in a file of its own, so that its process imports no torch."""


class Flag:
    def __init__(self) -> None:
        self._up = False

    def raise_(self) -> None:
        self._up = True

    def up(self) -> bool:
        return self._up
