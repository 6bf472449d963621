// Light or dark, as the reader chose the last time, before anything is painted; else as the system is.
{
  const chosen = localStorage.getItem("bellbench-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
}
