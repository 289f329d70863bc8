// Reasons: which level and which dimension say most of why a picture was found, with the pictures at its two ends.

let dimensionsAsked;
const dimensions = () =>
  (dimensionsAsked ??= ask("dimensions").then((answer) => Object.fromEntries(answer.levels.map(({ level, dimensions }) => [level, dimensions]))));

const reasonLine = (reason) => `Level ${reason.level}: ${reason.words}`;

const endOf = (numbers, words, open) =>
  make("div", { class: "end" }, make("div", { class: "strip" }, ...numbers.map((i) => datumTile(i, open))), make("span", { class: "hint", text: words }));

// One reason with what its dimension does, and the pictures at its ends.
const reasonPanel = async (reason, open) => {
  const dimension = (await dimensions())[reason.level][reason.dimension];
  const [low, high] = dimension.words;
  return make("li", { class: "reason" },
    make("p", {}, make("span", { class: "badge", text: `Level ${reason.level}` }), ` ${reason.words} `, make("span", { class: "hint", text: reason.detail })),
    make("div", { class: "ends" },
      endOf(dimension.low, low || "low end", open),
      make("span", { class: "hint between", text: `dimension ${reason.dimension + 1}` }),
      endOf(dimension.high, high || "high end", open)));
};
