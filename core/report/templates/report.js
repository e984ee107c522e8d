// Sorts the trials table by a clicked column; numbers as numbers, empty cells last.
document.querySelectorAll("#trials th[data-sort]").forEach((head) => {
  head.addEventListener("click", () => {
    const body = document.querySelector("#trials tbody");
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.dataset.down !== "yes";
    head.dataset.down = down ? "yes" : "no";
    const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent;
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const [p, q] = [Number(x), Number(y)];
      const found = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
      return down ? -found : found;
    };
    [...body.rows].sort(order).forEach((row) => body.appendChild(row));
  });
});
