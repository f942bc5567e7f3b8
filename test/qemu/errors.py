"""What may go wrong with a virtual machine."""


class MachineError(Exception):
    """QEMU did not do what was asked, told in one sentence."""


class Timeout(MachineError):
    """A wait came to its end."""
