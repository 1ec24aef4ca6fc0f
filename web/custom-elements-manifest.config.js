export default {
  globs: ["src/elements/*.ts"],
  outdir: "dist",
  litelement: true,
};
