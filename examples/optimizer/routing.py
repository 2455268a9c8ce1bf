"""Which van visits which customer in what order: the capacitated vehicle routing problem, by OR-Tools' CP-SAT."""

from collections.abc import Callable
from dataclasses import dataclass

from ortools.sat.python import cp_model


@dataclass(frozen=True)
class Problem:
    """Place 0 is the depot, which all vans leave and come back to. Distances are whole numbers of any unit."""

    distances: list[list[int]]
    demands: list[int]
    vehicles: int
    capacity: int


@dataclass(frozen=True)
class Plan:
    """One list of places for each van that goes out."""

    routes: list[list[int]]
    distance: int
    is_optimal: bool


class Search(cp_model.CpSolverSolutionCallback):
    """One search for a plan, in whatever thread calls `run`; `stop` may come from any other."""

    def __init__(self, problem: Problem, seconds: float, better: Callable[[int], None]) -> None:
        """`better` is told the length of each plan that is shorter than those before."""
        super().__init__()
        self._problem, self._better = problem, better
        self._solver = cp_model.CpSolver()
        self._solver.parameters.max_time_in_seconds = seconds
        self._solver.parameters.num_workers = 2

    def run(self) -> Plan | None:
        """The best plan found in time, or None when there is none."""
        model, arcs = _model(self._problem)
        status = self._solver.solve(model, self)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        after: dict[int, list[int]] = {}
        for (start, end), taken in arcs.items():
            if self._solver.boolean_value(taken):
                after.setdefault(start, []).append(end)
        routes = []
        for place in after.get(0, []):
            route = [0, place]
            while route[-1] != 0:
                route += after[route[-1]]
            routes.append(route)
        return Plan(routes, round(self._solver.objective_value), status == cp_model.OPTIMAL)

    def stop(self) -> None:
        """Nobody waits for it any more."""
        self._solver.stop_search()

    def on_solution_callback(self) -> None:
        """Called by the solver."""
        self._better(round(self.objective_value))


def _model(problem: Problem) -> tuple[cp_model.CpModel, dict[tuple[int, int], cp_model.IntVar]]:
    model = cp_model.CpModel()
    places = range(len(problem.demands))
    arcs = {(i, j): model.new_bool_var(f"{i} to {j}") for i in places for j in places if i != j}
    model.add_multiple_circuit([(i, j, taken) for (i, j), taken in arcs.items()])
    model.add(sum(arcs[0, j] for j in places if j) <= problem.vehicles)
    # What a van carries when it leaves a place: grows along its way, so no van visits more than fits.
    load = [model.new_int_var(demand, problem.capacity, f"load {i}") for i, demand in enumerate(problem.demands)]
    for (i, j), taken in arcs.items():
        if i and j:
            model.add(load[j] >= load[i] + problem.demands[j]).only_enforce_if(taken)
    model.minimize(sum(problem.distances[i][j] * taken for (i, j), taken in arcs.items()))
    return model, arcs
